"""Every test with data, in one call, and its results as a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError
from w2v_jax.evaluation import builtin
from w2v_jax.evaluation.analogies import RULES, Score, Sections, add_up, analogies, read_bats, read_msr, read_questions
from w2v_jax.evaluation.categorisation import purity, read_classes
from w2v_jax.evaluation.frequency import similarity_by_frequency
from w2v_jax.evaluation.similarity import read_pairs, similarity
from w2v_jax.files import PathLike
from w2v_jax.tables import aligned

Results = dict[str, Any]

_ANALOGIES: dict[str, tuple[str, Callable[[str], Sections]]] = {
    "questions-words": ("questions-words.txt", read_questions),
    "msr": ("msr.tsv", read_msr),
    "bats": ("bats_pairs.tsv", read_bats),
}
BUILTIN_NOTE = "built-in word list of this project: an indication, not a benchmark"


def evaluate_all(emb: Embeddings, data_dir: PathLike | None = None, restrict: int = 30_000) -> Results:
    """Scores the vectors on every test file found, or on the built-in word list without a folder.

    Args:
      emb: the vectors, by falling frequency.
      data_dir: has any of similarity/*.tsv, analogy/questions-words.txt, analogy/msr.tsv, analogy/bats_pairs.tsv and
        categorization/*.tsv; None takes the built-in list.
      restrict: analogies use this many of the most frequent words; 0 for all.

    Returns:
      Plain nested dicts, ready for JSON: 'vectors', 'restrict', by test 'similarity', 'analogy', 'categorization', and
      'frequency', the similarity sets by the count of the rarer word (empty without counts).

    Raises:
      UserError: no such folder, none of the files in it, or a malformed file by its line.
    """
    if restrict < 0:
        raise UserError(f"restrict={restrict}: must be 0 (all) or more")
    out: Results = {"vectors": {"words": len(emb), "dim": emb.dim}, "restrict": restrict, "data": "builtin"}
    if data_dir is None:
        out["note"] = BUILTIN_NOTE
        out["similarity"] = {"builtin": similarity(emb, builtin.similarity_pairs())._asdict()}
        out["frequency"] = {}
        out["analogy"] = {"builtin": _analogy(emb, builtin.analogy_sections(), restrict)}
        out["categorization"] = {}
        return out
    folder = os.fspath(data_dir)
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder; give one with similarity/, analogy/ or categorization/ in it")
    out["data"] = os.path.basename(os.path.abspath(folder))
    pairs, classes = _tsv(folder, "similarity"), _tsv(folder, "categorization")
    sets = {name: read_pairs(path) for name, path in pairs.items()}
    out["similarity"] = {name: similarity(emb, graded)._asdict() for name, graded in sets.items()}
    out["frequency"] = similarity_by_frequency(emb, sets)
    out["analogy"] = {}
    for name, (file, reader) in _ANALOGIES.items():
        path = os.path.join(folder, "analogy", file)
        if os.path.isfile(path):
            out["analogy"][name] = _analogy(emb, reader(path), restrict)
    out["categorization"] = {name: purity(emb, read_classes(path))._asdict() for name, path in classes.items()}
    if not (out["similarity"] or out["analogy"] or out["categorization"]):
        raise UserError(
            f"{folder}: no test file in it; expected similarity/*.tsv, analogy/questions-words.txt, analogy/msr.tsv, "
            "analogy/bats_pairs.tsv or categorization/*.tsv"
        )
    return out


def _tsv(folder: str, part: str) -> dict[str, str]:
    """Path of each .tsv file of a sub-folder by its name without the ending; empty without the sub-folder."""
    sub = os.path.join(folder, part)
    names = sorted(os.listdir(sub)) if os.path.isdir(sub) else []
    return {name[:-4]: os.path.join(sub, name) for name in names if name.endswith(".tsv")}


def _analogy(emb: Embeddings, sections: Sections, restrict: int) -> Results:
    scores = analogies(emb, sections, restrict)
    groups: dict[str, list[Score]] = {}
    for name, score in scores.items():
        group = _group(name, sections)
        if group:
            groups.setdefault(group, []).append(score)
    return {
        "sections": {name: score.shares() for name, score in scores.items()},
        "groups": {name: add_up(parts).shares() for name, parts in groups.items()},
        "all": add_up(list(scores.values())).shares(),
    }


def _group(section: str, sections: Sections) -> str:
    """BATS names its groups (`group/relation`); Google questions are syntactic if their section starts with gram."""
    if "/" in section:
        return section.partition("/")[0]
    if any(name.startswith("gram") for name in sections):
        return "syntactic" if section.startswith("gram") else "semantic"
    return ""


def table(results: Mapping[str, Any]) -> str:
    """The results of `evaluate_all` as aligned text; three decimals, '-' where a figure is undefined."""
    vectors = results["vectors"]
    about = f"{vectors['words']:,} words, {vectors['dim']} dimensions; tests: {results['data']}"
    if "note" in results:
        about += f" ({results['note']})"
    similar = [["similarity", "Spearman", "Pearson", "pairs found"]]
    for name, r in results["similarity"].items():
        similar.append([name, _number(r["spearman"]), _number(r["pearson"]), _part(r["found"], r["total"])])
    seen = [["rarer word seen (times)", "Spearman, mean of sets", "pairs", "sets"]]
    for name, r in results["frequency"].items():
        seen.append([name, _number(r["spearman"]), f"{r['pairs']:,}", str(r["sets"])])
    first = f"first {results['restrict']:,} words" if results["restrict"] else "all words"
    asked = [[f"analogies ({first})", "3CosAdd", "3CosMul", "Add, query in", "Mul, query in", "asked"]]
    for name, r in results["analogy"].items():
        # BATS and MSR have dozens of relations: the table shows their groups, the JSON file has the rest.
        named = r["sections"] if name not in ("msr", "bats") else {}
        asked.append([name])
        for part, score in [*named.items(), *r["groups"].items(), ("all", r["all"])]:
            shares = [_number(score[f"accuracy_{rule}"]) for rule in RULES]
            asked.append([f"  {part}", *shares, _part(score["asked"], score["total"])])
    classes = [["categorisation", "purity", "classes", "words found"]]
    for name, r in results["categorization"].items():
        classes.append([name, _number(r["purity"]), str(r["classes"]), _part(r["found"], r["total"])])
    return "\n\n".join([about, *(aligned(rows) for rows in (similar, seen, asked, classes) if len(rows) > 1)])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _part(found: int, total: int) -> str:
    return f"{found:,}/{total:,}"
