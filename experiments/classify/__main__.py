"""Logistic regression from features of texts to their labels: what each way to represent a text is good for.

  python -m experiments.classify --train=SOURCE --test=SOURCE --workdir=DIR
      [--methods=counts,shares,tfidf,lsa,lda] [--vectors=[NAME=]FILE ...] [--run=[NAME=]DIR ...]
      [--config=FILE] [--config.data.KEY=VALUE ...] [--config.model.KEY=VALUE ...] [--lda=FILE] [--lda.model.KEY=VALUE]

SOURCE is tsv:GLOB (label<TAB>text), jsonl:GLOB or tfds:NAME[@SPLIT]; without --test a fifth of the distinct texts is
scored. The config (configs/classify.py) has the rules of the text in `data` and the settings of LSA in `model`; --lda
(configs/classify_lda.py) has those of LDA. --vectors adds the mean of the word vectors of a file or of a run. --run
adds what a trained run says of a text: its topics (lsa, lda), its inferred vector (doc2vec), or the mean and the last
of the states after its last layer.

  python -m experiments.classify --workdir=DIR --text='TEXT' [--text=...] | --texts=SOURCE [--method=NAME] [--out=FILE]

labels new texts by a finished comparison: see `experiments.classify.label`.

Features are made without labels, from the training texts. A tenth of these chooses the strength C of the regression,
which is then fitted to all of them; the test texts are scored once. Prints a table, and the scores of each label by the
best method; writes results.json, methods.png and, for each method, predictions_METHOD.tsv and classifier_METHOD.npz
into DIR. The same command continues where it was stopped, and with more methods, vectors or runs adds theirs.
Exit status: 0 done, 2 bad input, 128 + n stopped by signal n.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments.classify import digests, features, kept, label, report
from experiments.classify.digests import TEXTS
from experiments.classify.features import COUNTED, Features
from experiments.classify.kept import of_tokenizer
from experiments.classify.rows import check_names, finished, replaced, without_files
from experiments.classify.texts import Bags, Texts, bags, read
from experiments.common import cli, config_flag
from experiments.common.vectors import define_encoding_errors, warnings_in_lines
from w2v_jax.config import Config, DataConfig, check, check_choice
from w2v_jax.data.labelled import FORMS
from w2v_jax.embeddings import load
from w2v_jax.errors import UserError
from w2v_jax.evaluation import linear
from w2v_jax.evaluation.classification import classification, interval, macro_f1, majority
from w2v_jax.figures import methods
from w2v_jax.files import read_json, write_json
from w2v_jax.recorded import to_dict
from w2v_jax.storage import to_path
from w2v_jax.train.restore import open_model

FLAGS = {"lsa": "config", "lda": "lda"}  # of the methods that are fitted, with their settings
FITTED = tuple(FLAGS)
CONFIGS = {"lsa": cli.ROOT / "configs" / "classify.py", "lda": cli.ROOT / "configs" / "classify_lda.py"}


def say(line: str) -> None:
    """Progress goes to standard error, results to standard output."""
    print(line, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    methods: tuple[str, ...]
    configs: dict[str, Config]  # of the fitted families
    vectors: tuple[tuple[str, str], ...]  # (name, file or folder)
    runs: tuple[tuple[str, str], ...]  # (name, folder)
    max_tokens: int
    encoding_errors: str


class Task(NamedTuple):
    """One way to represent the texts; it gives one row of the results, or two."""

    name: str
    settings: dict[str, Any]
    make: Callable[[], Iterable[Features]]
    check: Callable[[], None] = lambda: None  # whether it can be made, before the first one is


def tasks_of(wanted: Wanted, data: DataConfig, texts: Texts) -> list[Task]:
    """What is asked for. The texts are counted when the first features of counts are made."""

    @functools.cache
    def counting() -> tuple[Bags, float]:
        start = time.perf_counter()
        found = bags(data, texts)
        seconds = time.perf_counter() - start
        _tell(found, data, seconds)
        return found, seconds

    def check(method: str) -> None:
        if method in wanted.configs:
            features.check_sizes(FLAGS[method], wanted.configs[method], counting()[0])

    def of_method(method: str) -> Iterator[Features]:
        found, seconds = counting()
        config = wanted.configs.get(method)
        made = features.counted(method, found) if config is None else features.fitted(config, found, say)
        again = {**made.kept, **of_tokenizer(found.tokenizer, words=True)}
        yield made._replace(seconds=made.seconds + seconds, note=features.wordless(found), kept=again)

    def of_vectors(name: str, path: str) -> Iterator[Features]:
        with warnings_in_lines():
            emb = load(features.file_of(path), encoding_errors=wanted.encoding_errors)
        yield features.means(name, emb, data, texts)

    def of_run(name: str, folder: str) -> Iterator[Features]:
        with cli.as_flag("run"):
            model = open_model(to_path(folder))
        yield from features.of_run(name, model, texts, wanted.max_tokens)

    fitted = {name: {"config": to_dict(config)} for name, config in wanted.configs.items()}
    tasks = [
        Task(name, fitted.get(name, {}), partial(of_method, name), partial(check, name)) for name in wanted.methods
    ]
    errors = {"encoding_errors": wanted.encoding_errors}
    for name, path in wanted.vectors:
        settings = {"vectors": path, "sha256": digests.of_vectors(features.file_of(path))} | errors
        tasks.append(Task(f"mean of {name}", settings, partial(of_vectors, name, path)))
    for name, path in wanted.runs:
        said = {"run": path, "max_tokens": wanted.max_tokens, "sha256": digests.of_run(path)}
        tasks.append(Task(name, said, partial(of_run, name, path)))
    return tasks


def _tell(found: Bags, data: DataConfig, seconds: float) -> None:
    rules = f"data.min_count={data.min_count}" + (f", data.max_vocab={data.max_vocab}" if data.max_vocab else "")
    say(f"texts: {features.covered(found)}; a vocabulary of {len(found.vocab):,} ({rules}), counted in {seconds:.1f} s")


def scored(task: Task, made: Features, texts: Texts, folder: Path, digest: str) -> dict[str, Any]:
    """One row of the results: the classifier on these features. Writes it and its predictions into the folder."""
    start = time.perf_counter()
    width = made.train.shape[1]
    say(f"{made.method}: {width:,} features in {made.seconds:.1f} s" + (f"; {made.note}" if made.note else ""))
    classes = len(texts.names)
    fitted = linear.fit(
        made.train,
        texts.labels,
        classes,
        made.test,
        texts.held,
        texts.refit,
        say=lambda line: say(f"{made.method}: {line}, {time.perf_counter() - start:.0f} s"),
    )
    seconds = time.perf_counter() - start
    scores = classification(fitted.probabilities, texts.test_labels)
    kept.write(folder, made.method, fitted.model, made.kept, digest)
    report.write_predictions(folder, made.method, texts, fitted.probabilities)
    held = {f"{strength:g}": accuracy for strength, accuracy in fitted.heldout.items()}
    return {
        "method": made.method,
        "dimensions": width,
        "accuracy": scores.accuracy,
        "error": scores.error,
        "interval": interval(scores.accuracy, scores.texts),
        "macro_f1": macro_f1(scores.confusion),
        "loss": scores.loss,
        "seconds_features": made.seconds,
        "seconds_fit": seconds,
        "strength": fitted.strength,
        "scale": fitted.scale,
        "heldout": held,
        "steps": fitted.steps,
        "converged": fitted.converged,
        "note": made.note,
        "task": task.name,
        "settings": task.settings,
        "confusion": scores.confusion.tolist(),
    }


def compare(wanted: Wanted, data: DataConfig, test_share: float, file: Path) -> dict[str, Any]:
    """All rows, those in `file` too; writes it after each task, and returns its content. UserError: bad texts, vectors
    or runs, or a file of other settings."""
    texts = read(data, test_share, say)
    known = texts.labels if texts.refit else texts.labels[~texts.held]
    about: dict[str, Any] = {
        "data": to_dict(data),
        "labels": list(texts.names),
        "training_texts": len(texts.train),
        "heldout_texts": int(texts.held.sum()),
        "test_texts": len(texts.test),
        "test_share": test_share,
        "majority": majority(known, texts.test_labels),
        TEXTS: digests.of_texts(texts),
    }
    tasks = tasks_of(wanted, data, texts)
    rows = finished(file, about, {task.name: task.settings for task in tasks})
    configs = (read_json(file) or {}).get("configs", {})
    made = {row["task"] for row in rows}
    check_names([task.name for task in tasks], made)
    lost = without_files(file.parent, rows)
    for task in tasks:
        if task.name not in made - lost:
            task.check()
    for task in tasks:
        if task.name in made - lost:
            say(f"{task.name}: in {file}")
            continue
        if task.name in lost:
            say(f"{task.name}: in {file}, but its predictions or its classifier are gone; it is made again")
        new = [scored(task, found, texts, file.parent, about[TEXTS]) for found in task.make()]
        rows = replaced(rows, task.name, new)
        if task.name in wanted.configs:
            configs = configs | {task.name: task.settings["config"]}
        results = about | {"configs": configs, "methods": rows, "command": cli.command("experiments.classify")}
        write_json(file, results, indent=1)
    return about | {"configs": configs, "methods": rows, "command": cli.command("experiments.classify")}


def config_of(flag: str, family: str) -> Config:
    """The config that a flag names. UserError: it is of another family."""
    config = config_flag.parsed(flag, default=CONFIGS[family])
    if config.family != family:
        raise UserError(f"--{flag}: family {config.family} is not fitted here; it must be {family}")
    return config


def wanted_of(config: Config) -> Wanted:
    """What the other flags ask for. UserError: an unknown method, or nothing to compare."""
    f = flags.FLAGS
    names = tuple(dict.fromkeys(f.methods))
    for name in names:
        check_choice("--methods", name, (*COUNTED, *FITTED))
    configs = {"lsa": config} if "lsa" in names else {}
    if "lda" in names:
        configs["lda"] = config_of(FLAGS["lda"], "lda")
    vectors, runs = (tuple(map(features.name_of, flag or ())) for flag in (f.vectors, f.run))
    if not (names or vectors or runs):
        raise UserError("--methods is empty: name one, such as --methods=tfidf, or give --vectors or --run")
    return Wanted(names, configs, vectors, runs, f.max_tokens, f.encoding_errors)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    if label.wanted():
        label.run(say)
        return 0
    workdir = cli.workdir("give the folder of the results, e.g. --workdir=runs/classify", several=True)
    config = config_of("config", "lsa")
    given = {"source": f.train, "heldout_source": f.heldout, "test_source": f.test}
    named = {"source": "train", "heldout_source": "heldout", "test_source": "test"}
    config_flag.refuse("config", {f"data.{key}": f"--{named[key]} is given" for key, value in given.items() if value})
    config_flag.refuse("lda", {"data.": "the text is that of --train and --config"})
    if not f.train and config.data.source == DataConfig.source:
        raise UserError("--train is missing: give labelled texts, e.g. --train=tsv:imdb/train.tsv.xz")
    for key, value in given.items():
        flag, source = (f"--{named[key]}", value) if value else (f"--config.data.{key}", getattr(config.data, key))
        if source and not source.startswith(("tsv:", "jsonl:", "tfds:")):
            raise UserError(f"{flag}={source}: has no labels that are read; labelled texts are {FORMS}")
    data = dataclasses.replace(config.data, **{key: value for key, value in given.items() if value})
    check(0 < f.test_share < 1, "--test_share", f.test_share, "above 0 and below 1")
    results = compare(wanted_of(config), data, f.test_share, workdir / "results.json")
    results["paired"] = report.against_best(workdir, results)
    print(f"{report.table(results)}\n\n{report.labels(results)}")
    paint = partial(methods.draw, results["methods"], results["majority"], source=results["command"])
    cli.write_results(workdir / "results.json", results, workdir / "methods.png", paint)
    return 0


if __name__ == "__main__":
    config_flag.define(text="Config file of the text and of LSA, e.g. configs/classify.py")
    config_flag.define("lda", "Config file of LDA, e.g. configs/classify_lda.py")
    flags.DEFINE_string("train", None, "Labelled texts to train on, instead of --config.data.source.")
    flags.DEFINE_string("heldout", None, "Labelled texts that choose C; without them a tenth of those to train on.")
    flags.DEFINE_string("test", None, "Labelled texts that are scored once; without them a share of the others.")
    flags.DEFINE_float("test_share", 0.2, "Share of the distinct texts that is scored where there is no --test.")
    flags.DEFINE_list("methods", ["counts", "shares", "tfidf", *FITTED], f"Of {', '.join((*COUNTED, *FITTED))}.")
    flags.DEFINE_multi_string("vectors", None, "[NAME=]PATH of word vectors, a file or a run; may be repeated.")
    define_encoding_errors()
    flags.DEFINE_multi_string("run", None, "[NAME=]DIR of a trained run; may be repeated.")
    flags.DEFINE_integer("max_tokens", 400, "Tokens of a text that a run with states reads.", 1)
    flags.DEFINE_string("workdir", None, "Folder of the results; made if missing.")
    label.define()
    cli.run(main, continues=True, by_first=True)
