"""Every test with data, in one call, and its results as a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError, check_whole
from w2v_jax.evaluation import builtin
from w2v_jax.evaluation.analogies import RULES, Score, Sections, add_up, analogies, read_bats, read_msr, read_questions
from w2v_jax.evaluation.categorisation import purity, read_classes
from w2v_jax.evaluation.frequency import similarity_by_frequency
from w2v_jax.evaluation.similarity import Pair, read_pairs, similarity
from w2v_jax.files import PathLike, expanded
from w2v_jax.tables import PACKED, aligned, read_lines

Results = dict[str, Any]

_ANALOGIES: dict[str, tuple[str, Callable[[str], Sections]]] = {
    "questions-words": ("questions-words.txt", read_questions),
    "msr": ("msr.tsv", read_msr),
    "bats": ("bats_pairs.tsv", read_bats),
}
_PARTS = ("similarity", "analogy", "categorization")
SHOWN = 8  # names of files that are left out
BUILTIN_NOTE = "built-in word list of this project: an indication, not a benchmark"


def evaluate_all(emb: Embeddings, data_dir: PathLike | None = None, restrict: int = 30_000) -> Results:
    """Scores the vectors on every test file found, or on the built-in word list without a folder.

    Args:
      emb: the vectors, by falling frequency.
      data_dir: has any of similarity/*.tsv, analogy/questions-words.txt, analogy/msr.tsv, analogy/bats_pairs.tsv and
        categorization/*.tsv, plain or packed (.tsv.gz); None takes the built-in list. Or one file with the content of
        any of these, whatever its name: questions by their sections (`: name`), the others by their columns.
      restrict: analogies use this many of the most frequent words; 0 for all.

    Returns:
      Plain nested dicts, ready for JSON: 'vectors', 'restrict', by test 'similarity', 'analogy', 'categorization',
      'frequency', the similarity sets by the count of the rarer word (empty without counts), and 'left_out', what else
      is in the folder.

    Raises:
      UserError: no such folder, none of the files in it, two of one name, or a malformed file by its line.
    """
    check_whole("restrict", restrict, 0, "a whole number, 0 (all) or more")
    out: Results = {"vectors": {"words": len(emb), "dim": emb.dim}, "restrict": restrict, "data": "builtin"}
    if data_dir is None:
        out["note"] = BUILTIN_NOTE
        out["similarity"] = {"builtin": similarity(emb, builtin.similarity_pairs())._asdict()}
        out["frequency"] = {}
        out["analogy"] = {"builtin": _analogy(emb, builtin.analogy_sections(), restrict)}
        out["categorization"] = {}
        return out
    folder = expanded(data_dir)
    out["data"] = os.path.basename(os.path.abspath(folder))
    if os.path.isfile(folder):
        files, out["left_out"] = _of_one(folder), []
    elif os.path.isdir(folder):
        files, out["left_out"] = _files(folder)
    else:
        need = "give one with similarity/, analogy/ or categorization/ in it, or one file of a test"
        raise UserError(f"{folder}: no such folder; {need}")
    sets = {name: read_pairs(path) for name, path in files["similarity"].items()}
    out["similarity"] = {name: similarity(emb, graded)._asdict() for name, graded in sets.items()}
    out["frequency"] = similarity_by_frequency(emb, sets)
    out["analogy"] = {}
    known = {file: (name, reader) for name, (file, reader) in _ANALOGIES.items()}
    for file in [file for file in known if file in files["analogy"]] or files["analogy"]:
        name, reader = known.get(file, (file, read_questions))
        out["analogy"][name] = _analogy(emb, reader(files["analogy"][file]), restrict)
    classes = files["categorization"]
    out["categorization"] = {name: purity(emb, read_classes(path))._asdict() for name, path in classes.items()}
    if not (out["similarity"] or out["analogy"] or out["categorization"]):
        raise UserError(
            f"{folder}: no test file in it; expected similarity/*.tsv, analogy/questions-words.txt, analogy/msr.tsv, "
            "analogy/bats_pairs.tsv or categorization/*.tsv"
        )
    return out


def chosen_tests(
    data_dir: PathLike, names: Sequence[str], say: Callable[[str], object] = lambda line: None
) -> tuple[dict[str, list[Pair]], Sections]:
    """(pairs by set of similarity, the sections of the Google analogies) of a folder as that of `evaluate_all`: of the
    sets `names` those that are there; where none of these is, all in similarity/. Either part may be empty. `say` takes
    a line on what of `names` and the analogies is not there, and one on what of the folder is not read.

    UserError: no such folder, none of these files in it, two of one name, or a malformed file by its line.
    """
    folder = expanded(data_dir)
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder; give one with similarity/ or analogy/ in it")
    files, other = _files(folder)
    there = files["similarity"]
    chosen = {name: there[name] for name in names if name in there} or there
    file, reader = _ANALOGIES["questions-words"]
    path = files["analogy"].get(file)
    if not chosen and path is None:
        raise UserError(f"{folder}: no test file in it; expected similarity/*.tsv or analogy/{file}")
    gone = [f"similarity/{name}.tsv" for name in names if name not in there]
    wanted = (gone if len(gone) < len(names) else []) + [f"analogy/{file}"] * (path is None)
    if wanted:
        say(f"note: {folder}: not there, and not scored: {', '.join(wanted)}")
    read = {*chosen.values(), path}
    left = sorted(os.path.relpath(at, folder) for part in files.values() for at in part.values() if at not in read)
    if left := left + other:
        say(f"note: {folder}: there, but not read by this command: {_first(left)}")
    return {name: read_pairs(path) for name, path in chosen.items()}, {} if path is None else reader(path)


def _of_one(path: str) -> dict[str, dict[str, str]]:
    """`_files` of one file, by its name or else its content. UserError: it is none of a test."""
    name = os.path.basename(path)
    plain = name.removesuffix(next((end for end in PACKED if name.endswith(end)), ""))
    number, line = next(read_lines(path, comments=True), (0, ""))
    if plain in {file for file, _ in _ANALOGIES.values()}:
        part = "analogy"
    elif line.startswith(":"):
        part, plain = "analogy", plain.removesuffix(".txt")
    elif (columns := len(line.split("\t"))) in (2, 3):
        part, plain = "similarity" if columns == 3 else "categorization", plain.removesuffix(".tsv")
    else:
        need = "`: name` before lines of four words, word<TAB>word<TAB>score, or class<TAB>word"
        raise UserError(f"{path}: line {number:,}: no test of word vectors, which are lines of {need}")
    return {**{other: {} for other in _PARTS}, part: {plain: path}}


def _files(folder: str) -> tuple[dict[str, dict[str, str]], list[str]]:
    """({part: {name: path}} of the test files, what else the folder and its parts hold, but hidden files). Analogies
    are named by their file, the others without .tsv. UserError: two files of one name."""
    files: dict[str, dict[str, str]] = {part: {} for part in _PARTS}
    left = [_shown(folder, name) for name in _listed(folder) if name not in _PARTS]
    wanted = {file for file, _ in _ANALOGIES.values()}
    for part, found in files.items():
        sub = os.path.join(folder, part)
        for name in _listed(sub) if os.path.isdir(sub) else []:
            packing = next((end for end in PACKED if name.endswith(end)), "")
            plain = name.removesuffix(packing)
            known = plain in wanted if part == "analogy" else plain.endswith(".tsv")
            path, key = os.path.join(sub, name), plain if part == "analogy" else plain.removesuffix(".tsv")
            if not known or not os.path.isfile(path):
                left.append(f"{part}/{_shown(sub, name)}")
            elif key in found:
                raise UserError(f"{path}: {os.path.basename(found[key])} is beside it, a test of one name; remove one")
            else:
                found[key] = path
    return files, left


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _listed(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _shown(folder: str, name: str) -> str:
    return f"{name}/" if os.path.isdir(os.path.join(folder, name)) else name


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
    if left := results.get("left_out"):
        about += f"\nleft out, no test files by their names: {_first(left)}"
    similar = [["similarity", "Spearman", "Pearson", "pairs found"]]
    for name, r in results["similarity"].items():
        similar.append([name, _number(r["spearman"]), _number(r["pearson"]), _part(r["found"], r["total"])])
    seen = [["rarer word seen (times)", "Spearman, mean of sets", "pairs", "sets", "left out"]]
    for name, r in results["frequency"].items():
        seen.append([name, _number(r["spearman"]), f"{r['pairs']:,}", str(r["sets"]), f"{r['left_out']:,}"])
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
