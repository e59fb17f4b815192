"""What vectors of words in context know of senses: Words in Context, and files labelled with senses.

  python -m experiments.word_sense --workdirs=[NAME=]DIR,... --workdir=DIR [--wic=FOLDER [--final]]
      [--train=FILE --test=FILE] [--join=NAME+NAME ...] [--hide_target] [--window=10] [--pool=mean] [--any_form]
      [--results=FILE,...]

--workdirs are runs of any family. --wic names the folder of train.tsv, dev.tsv and test.tsv of Words in Context: T or
F<TAB>LEMMA<TAB>N or V<TAB>INDEX-INDEX<TAB>TEXT<TAB>TEXT. The training pairs choose the layer or mixture of each run,
the development pairs the threshold of the cosine; the test pairs are scored only with --final. --train and --test are
files WORD<TAB>SENSE<TAB>INDEX<TAB>TEXT: 1-NN, nearest centroid and logistic regression on each layer and on the best
mixture, chosen by folds of the training file, with all labels and with 1, 3, 10 and 30 of each sense. The most frequent
sense, naive Bayes on counts and the mean of the word vectors around the word are always beside. --join adds the chosen
mixtures of several runs side by side; --hide_target adds to each masked run a row in which the word itself is hidden.

Runs called NAME@SEED are one model with several seeds: beside their own rows stand means over them with 95 % intervals,
and --join takes NAME for all seeds. --results adds the rows of earlier results on the same texts, so that a long
comparison can be made in parts; without --workdirs it only puts them together.

Prints tables; writes results.json, layers.png, the curves over layers, and predictions_*.tsv, what each row of
--workdirs with all labels, and each baseline, says of each test item, into DIR.
Exit status: 0 done, 2 bad input.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from absl import flags

from experiments.common import cli
from experiments.word_sense import answers, files, report, seeds, wic
from experiments.word_sense.vectors import encoders, names_of
from w2v_jax.config import check_choice
from w2v_jax.context.encoder import POOLS
from w2v_jax.errors import UserError, nearest
from w2v_jax.figures import senses as picture
from w2v_jax.storage import to_path

PARTS = ("labelled", "wic")


def say(line: str) -> None:
    """Progress goes to standard error, results to standard output."""
    print(line, file=sys.stderr, flush=True)


def joins_of(wanted: Sequence[str], names: Sequence[str]) -> list[tuple[str, ...]]:
    """The runs of each --join, of a model with several seeds once for each. UserError: fewer than two, or an unknown
    one."""
    found = []
    for join in wanted:
        parts = tuple(part.strip() for part in join.split("+"))
        if len(set(parts)) < max(2, len(parts)):
            raise UserError(f"--join={join}: name two or more different runs with + between them")
        try:
            found += seeds.expanded(parts, names)
        except KeyError as e:
            part = e.args[0]
            raise UserError(
                f"--join={join}: {part!r} must be one of {', '.join(names)}{nearest(part, names)}"
            ) from None
    return found


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    workdir = cli.workdir("give the folder of the results, e.g. --workdir=runs/word_sense", several=True)
    runs = names_of([run for run in f.workdirs or () if run]) if f.workdirs or not f.results else {}
    check_choice("--pool", f.pool, POOLS)
    if bool(f.train) != bool(f.test):
        raise UserError(f"--{'test' if f.train else 'train'} is missing: give both files")
    if bool(runs) != bool(f.train or f.wic):
        raise UserError("--workdirs go with texts to score: give --wic=FOLDER, or --train=FILE and --test=FILE")
    if f.final and not f.wic:
        raise UserError("--final: is for --wic")
    results: dict[str, Any] = {"command": cli.command("experiments.word_sense"), "runs": runs}
    found, tables = measured(runs) if runs else ({}, {})
    results |= found
    results = seeds.together(results, [file for file in f.results or () if file])
    show(results)
    pooled = {part: {"rows": seeds.pooled(results[part]["rows"], ())} for part in PARTS if part in results}
    paint = partial(picture.draw, picture.curves(pooled), source=results["command"])
    cli.write_results(workdir / "results.json", results, workdir / "layers.png", paint)
    answers.write(workdir, tables)
    return 0


def measured(runs: dict[str, str]) -> tuple[dict[str, Any], dict[str, answers.Table]]:
    """The rows of --workdirs on the texts that are given, and what each says of each test item."""
    f, found = flags.FLAGS, {}
    tables: dict[str, answers.Table] = {}
    texts = files.read_files(f.train, f.test, f.any_form, f.seed, say) if f.train else None
    pairs = wic.splits(to_path(f.wic), f.final, say) if f.wic else None
    all_runs = list(encoders(runs, f.window, f.pool, f.hide_target))
    joins = joins_of(f.join or (), [named.name for named in all_runs])
    answers.check_names([*(named.name for named in all_runs), *map(" + ".join, joins)])
    if texts is not None:
        found["labelled"], tables = files.compare(all_runs, joins, texts, f.draws, say)
    if pairs is not None:
        rows, of_pairs = wic.compare(all_runs, joins, pairs, say)
        found["wic"], tables = {"folder": f.wic} | rows, tables | of_pairs
    return found, tables


def show(results: dict[str, Any]) -> None:
    """Prints the tables, with the means over seeds where there are several."""
    if "labelled" in results:
        found = results["labelled"]
        shots = report.few(found["few"], found["seed"], found.get("few_notes", ()))
        print(f"{report.labelled(found)}\n\n{shots}\n")
        if said := report.over_seeds(found):
            print(f"{said}\n")
    if "wic" in results:
        print(report.wic(results["wic"]))
        if said := report.pairs_over_seeds(results["wic"]):
            print(f"\n{said}")


if __name__ == "__main__":
    flags.DEFINE_list("workdirs", None, "Run folders, [NAME=]DIR,...")
    flags.DEFINE_string("wic", None, "Folder of Words in Context.")
    flags.DEFINE_boolean("final", False, "Whether the test pairs of --wic are scored: once, when all is decided.")
    flags.DEFINE_string("train", None, "Labelled occurrences, WORD<TAB>SENSE<TAB>INDEX<TAB>TEXT.")
    flags.DEFINE_string("test", None, "Labelled occurrences that are scored once.")
    flags.DEFINE_boolean("any_form", False, "Accept tokens that do not begin as their word does (go, went).")
    flags.DEFINE_multi_string("join", None, "NAME+NAME: runs whose vectors are put side by side; may be repeated.")
    flags.DEFINE_list("results", None, "Files of earlier results whose rows are added.")
    flags.DEFINE_boolean("hide_target", False, "Add a row for each masked run in which the word itself is hidden.")
    flags.DEFINE_integer("window", 10, "Words on each side in the means of word vectors.", 1)
    flags.DEFINE_string("pool", "mean", f"Of the tokens of a word: {' | '.join(POOLS)}.")
    flags.DEFINE_integer("draws", 10, "Draws of a few labels.", 1)
    flags.DEFINE_integer("seed", 0, "Of folds and draws.", 0)
    flags.DEFINE_string("workdir", None, "Folder of the results; made if missing.")
    cli.run(main, by_first=True)
