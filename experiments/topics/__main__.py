"""Topics of a text: LSA beside LDA, how far both find the same, nearest documents, and a page to browse.

  python -m experiments.topics --config=configs/topics.py --workdir=DIR [--models=lsa,lda] [--lda=FILE [...]]
      [--reference]
  python -m experiments.topics --workdir=DIR --query='words' | --query_document=N
  python -m experiments.topics --explain

Fits both models into DIR/lsa and DIR/lda, or continues them there, and prints their topics side by side. Topics are
matched by the documents that load on them; the agreement stands beside that of models without a link. Writes
results.json, pictures/topics.png, report.md and report.html (one file without scripts) into DIR, and documents.tsv: the
best topics of each document. --reference fits LDA with the next seed too, into DIR/lda_again: two runs of one model do
not find the same topics either.
--query finds the documents nearest to words, --query_document those nearest to document N of the text, by both models,
by TF-IDF and by BM25; it only reads a finished DIR. Documents are numbered as in the text, from 1 (where a line is a
document, by lines); those held out have no place in the models. --explain prints the worked examples of counting.
Exit status: 0 done, 1 a fit diverged, 2 bad input, 128 + n stopped by signal n; a fit saves first.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from absl import flags

from experiments.common import cli, config_flag, page
from experiments.common.page import Section
from experiments.common.words import notes_on
from experiments.topics import documents, explain, nearest
from experiments.topics.fits import NAMES, Fitted, beside, fit, heldout, heldout_told, quality, quality_rows
from w2v_jax.config import Config, check_choice
from w2v_jax.data.corpus import Corpus
from w2v_jax.data.documents import counts
from w2v_jax.errors import UserError
from w2v_jax.evaluation.matching import Agreement, by_documents, by_words
from w2v_jax.figures import topics as picture
from w2v_jax.models import MODELS
from w2v_jax.recorded import differences, load, to_dict
from w2v_jax.tables import aligned
from w2v_jax.train.folder import CONFIG

CONFIGS = cli.ROOT / "configs"
COMMON = 20  # first words of two topics that are compared
EXAMPLES = 3  # documents shown with a topic, or with each of its sides
SIDES = ("words", "opposite words")  # of the readings of a topic


def say(line: str) -> None:
    """Progress goes to standard error, results to standard output."""
    print(line, file=sys.stderr, flush=True)


def agreement(models: Sequence[Fitted]) -> dict[str, Agreement]:
    """The matching of two models by words and by documents."""
    first, second = models
    words = by_words(first.tops(COMMON), second.tops(COMMON))
    return {"words": words, "documents": by_documents(first.loadings, second.loadings)}


def numbers(by: Mapping[str, Agreement]) -> dict[str, dict[str, float]]:
    """Agreements for JSON."""
    keys = ("mean", "chance", "random", "share")
    return {name: {key: getattr(a, key) for key in keys} for name, a in by.items()}


def pairs_of(models: Sequence[Fitted], by: Mapping[str, Agreement]) -> list[dict[str, Any]]:
    """Topics matched by documents, with the words of the reading that fits better, and both scores."""
    found, (first, second) = [], models
    words, chosen = first.model.tokenizer.words, by["documents"]
    sides, other = first.tops(COMMON), second.tops(COMMON)[0]
    for i, j, score in zip(chosen.first, chosen.second, chosen.scores, strict=True):
        common = [len(np.intersect1d(ids[i], other[j])) / len(other[j]) for ids in sides]
        best = int(np.argmax(common))
        pair: dict[str, Any] = {"topics": [int(i), int(j)], "words": common[best], "documents": float(score)}
        pair |= {"first": [words[w] for w in sides[best][i]], "second": [words[w] for w in other[j]]}
        found.append(pair)
    return found


def summary(
    models: Sequence[Fitted], rows: sp.csr_matrix, corpus: Corpus, again: Fitted | None = None
) -> dict[str, Any]:
    """results.json; `again` is LDA with another seed."""
    about = {"command": cli.command("experiments.topics"), "documents": rows.shape[0], "vocabulary": rows.shape[1]}
    about |= {"empty_documents": int((np.diff(rows.indptr) == 0).sum()), "corpus": corpus.report}
    about["models"] = [quality(m, rows) for m in models]
    about["heldout"] = heldout(models, corpus)
    words = models[0].model.tokenizer.words
    about["topics"] = {m.name: [[words[w] for w in topic] for topic in m.tops()[0]] for m in models}
    if len(models) == 2:
        by = agreement(models)
        about["agreement"] = numbers(by)
        about["pairs"] = pairs_of(models, by)
        if again is not None:
            about["reference"] = numbers(agreement([models[1], again]))
    return about


def topic_rows(results: Mapping[str, Any], count: int) -> list[list[str]]:
    """Topics side by side, the matched ones in one row; or those of the only model."""
    if "pairs" not in results:
        (name, topics), *_ = results["topics"].items()
        return [["topic", f"words of {name}"], *([f"{i}", " ".join(t[:count])] for i, t in enumerate(topics))]
    left, right = results["topics"]
    rows = [[left, right, f"words of {left}", f"words of {right}", "in common", "correlation"]]
    for pair in results["pairs"]:
        texts = [" ".join(pair[key][:count]) for key in ("first", "second")]
        rows.append([*map(str, pair["topics"]), *texts, f"{pair['words']:.2f}", f"{pair['documents']:.2f}"])
    return rows


def agreement_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """How far both models find the same topics."""
    rows = [["models", "matched by", "mean score", "by chance", "random matching", "from chance (0) to the same (1)"]]
    names = {"words": f"first {COMMON} words", "documents": "loadings of documents"}
    for models, key in (("LSA and LDA", "agreement"), ("LDA and LDA, another seed", "reference")):
        for name, a in results.get(key, {}).items():
            rows.append([models, names[name], *(f"{a[of]:.3f}" for of in ("mean", "chance", "random", "share"))])
    return rows


def sections(
    results: Mapping[str, Any], models: Sequence[Fitted], part: Any, lines: np.ndarray, drawn: Path | None
) -> list[Section]:
    """The page: tables, the picture, and for every topic its words and the documents that load most on it."""
    empty = f"{results['documents']:,} documents, {results['empty_documents']:,} without a known word."
    told = [line for line in (empty, heldout_told(results["heldout"])) if line]
    found = [Section("Models", tuple(told), quality_rows(results["models"]))]
    if drawn is not None:
        found.append(Section("How far both agree", table=agreement_rows(results), pictures=(drawn,)))
    found.append(Section("Topics", table=topic_rows(results, 6)))
    for model in models:
        tokenizer, tops = model.model.tokenizer, model.tops(15)
        for k in range(model.loadings.shape[1]):
            texts = [
                f"{side}: {' '.join(tokenizer.words[w] for w in t[k])}" for side, t in zip(SIDES, tops, strict=False)
            ]
            rows = [["document", "loading", "begins (known words)"]]
            for i in most_loaded(model.loadings[:, k], len(tops)):
                cells = [str(lines[i]), f"{model.loadings[i, k]:.3f}"]
                rows.append([*cells, nearest.beginning(tokenizer, part, int(i))])
            found.append(Section(f"{model.name} {k}", tuple(texts), rows))
    return found


def most_loaded(loadings: np.ndarray, sides: int) -> list[int]:
    """The documents with the largest of the loadings [N] of a topic; with two sides also those with the lowest, below
    0, the lowest last."""
    order = np.argsort(-loadings, kind="stable")
    if sides == 1:
        return [int(i) for i in order[:EXAMPLES]]
    first = [int(i) for i in order[:EXAMPLES] if loadings[i] > 0]
    return first + [int(i) for i in order[-EXAMPLES:] if loadings[i] < 0 and int(i) not in first]


def write(results: dict[str, Any], models: Sequence[Fitted], part: Any, lines: np.ndarray, workdir: Path) -> None:
    """Prints the tables; writes results, picture and page. `lines` [N] are the numbers of the documents."""
    print(aligned(topic_rows(results, 5), left=(2, 3) if "pairs" in results else (1,)))
    print(f"\n{aligned(quality_rows(results['models']))}")
    if told := heldout_told(results["heldout"]):
        print(told)
    drawn = workdir / "pictures" / "topics.png"
    if "pairs" in results:
        print(f"\n{aligned(agreement_rows(results), left=(0, 1))}")
        chance = {name: a["chance"] for name, a in results["agreement"].items()}
        paint = partial(picture.draw, results["pairs"], [m.name for m in models], chance, source=results["command"])
        cli.write_results(workdir / "results.json", results, drawn, paint)
    else:
        cli.write_results(workdir / "results.json", results)
    both = sections(results, models, part, lines, drawn if "pairs" in results else None)
    page.write(workdir, "Topics", both, results["command"])
    print(f"page: {workdir / page.PAGE}")


def configs() -> dict[str, Config]:
    """The config of each model of --models. UserError: an unknown one, or a config of another family."""
    names = list(dict.fromkeys(flags.FLAGS.models))
    for name in names or [""]:
        check_choice("--models", name, tuple(NAMES))
    base = config_flag.parsed(default=CONFIGS / "topics.py")
    if base.family != "lsa":
        raise UserError(f"--config: family {base.family} cannot be fitted here; it must be lsa (its text is LDA's too)")
    found = {"lsa": base}
    if "lda" in names:
        lda = config_flag.parsed("lda", default=CONFIGS / "topics_lda.py")
        shared = {"model.topics": "LDA has as many as --config.model.dim"}
        shared |= {f"{part}.": f"both models have --config.{part}" for part in ("data", "train")}
        config_flag.refuse("lda", shared)
        if lda.family != "lda":
            raise UserError(f"--lda: family {lda.family} cannot be fitted here; it must be lda")
        found["lda"] = beside(lda, base)
    return {name: found[name] for name in NAMES if name in names}


def kept(workdir: Path, given: Mapping[str, Config]) -> dict[str, Config]:
    """The configs of the models that were fitted in `workdir`. UserError: one is missing, or the command line gives
    another config."""
    found, flag = {}, flags.FLAGS
    named = any(flag[name].value for name in ("config", "config.KEY", "lda", "lda.KEY"))
    for name, config in given.items():
        saved = load(workdir / name / CONFIG, MODELS)
        if saved is None:
            raise UserError(
                f"--workdir={workdir}: holds no {NAMES[name]}; fit it first, by this command without a query"
            )
        keys = differences(to_dict(saved), to_dict(config)) if named else ()
        if keys:
            raise UserError(
                f"--workdir={workdir}: was fitted with other values of {', '.join(keys)}; leave --config and its "
                "overrides out, or repeat them as they were"
            )
        found[name] = saved
    return found


def another_seed(config: Config) -> Config:
    """The same run with the next seed."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, seed=config.train.seed + 1))


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    if f.explain:
        print(explain.text())
        return 0
    asks = f.query is not None or f.query_document is not None
    workdir = cli.workdir("give the folder of the topics, e.g. --workdir=runs/topics", several=not asks)
    wanted = configs()
    if asks:
        wanted = kept(workdir, wanted)
    first = next(iter(wanted.values()))
    corpus = MODELS[first.family].text(first.model, first.data, say)
    lines = documents.lines_of(first.data, corpus, workdir)
    query = nearest.query_of(f.query, f.query_document, corpus, lines, first.data)
    if f.query is not None:
        for note in notes_on(corpus.tokenizer, f.query, flag="query"):
            say(note)
    config_flag.set_compile_cache(first.data.cache_dir)
    rows = counts(corpus.train, len(corpus.vocab))
    models = [fit(config, workdir / name, rows) for name, config in wanted.items()]
    if query is not None:
        print(aligned(nearest.table(query, models, rows, corpus, lines, f.top), left=(2, 5)))
        return 0
    again = fit(another_seed(wanted["lda"]), workdir / "lda_again", rows) if f.reference and len(models) == 2 else None
    documents.keep(lines, corpus, workdir)
    write(summary(models, rows, corpus, again), models, corpus.train, lines.train, workdir)
    print(f"documents: {documents.write(workdir, models, corpus, lines, first.data)}")
    return 0


if __name__ == "__main__":
    config_flag.define(text="Config file of LSA and of the text, e.g. configs/topics.py")
    config_flag.define("lda", "Config file of LDA, e.g. configs/topics_lda.py")
    flags.DEFINE_string("workdir", None, "Folder with one run folder per model; made, continued or read.")
    flags.DEFINE_list("models", list(NAMES), "The models: lsa, lda.")
    flags.DEFINE_bool("reference", False, "Also fits LDA with the next seed: how far two runs of one model agree.")
    flags.DEFINE_string("query", None, "Words whose nearest documents are shown.")
    flags.DEFINE_integer("query_document", None, "A document of the text whose nearest are shown, counted from 1.", 1)
    flags.DEFINE_integer("top", 5, "Nearest documents to show.", 1)
    flags.DEFINE_bool("explain", False, "Prints the worked examples of counts, shares and latent numbers.")
    cli.run(main, continues=True, by_first=True)
