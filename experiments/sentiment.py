"""A ladder of sentiment classifiers over the same frozen word vectors, from their mean to a transformer.

  python -m experiments.sentiment --vectors=FILE --train=tsv:GLOB --test=tsv:GLOB --workdir=DIR
      [--labels=binary|sst2|as_is|named] [--encoding_errors=strict|replace|ignore]
      [--models=average,elementwise,rnn,lstm,transformer] [--max_length=400]
      [--config=FILE [...]] [--transformer=FILE [...]]
  python -m experiments.sentiment --workdir=DIR --text='The dog was cute'

Each model is trained in DIR/MODEL with the settings of --config (configs/sentiment.py). The transformer takes only data
and max_length from there, the rest from --transformer (configs/sentiment_transformer.py). The same command continues an
interrupted ladder; with a longer --models it trains only the new models. The checkpoint of each model with the lowest
loss on a held-out tenth of the training texts scores the test texts, once, at the end. Prints a table, and the scores
of each label by the best model; writes results.json, ladder.png and predictions_MODEL.tsv of each model into DIR. With
--text every model in DIR classifies that text; it may be repeated. The labels of --labels=named are counted; for more
than two of --labels=as_is give --config.model.classes, their number.
Exit status: 0 done, 1 a loss diverged, 2 bad input, 128 + n stopped by signal n; a training saves first.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments.classify import report
from experiments.classify.texts import Texts
from experiments.common import cli, config_flag, label_texts, shares
from experiments.common.label_texts import LAST_FAMILY, TRANSFORMER, chances_of
from experiments.common.measuring import parameters
from experiments.common.processes import by_first
from experiments.common.vectors import define_encoding_errors, warnings_in_lines
from launch import distributed
from w2v_jax.config import Config, check_choice
from w2v_jax.data.examples import by_length
from w2v_jax.data.labelled import read_labelled
from w2v_jax.errors import UserError
from w2v_jax.evaluation.classification import classification, macro_f1, majority
from w2v_jax.figures import ladder
from w2v_jax.figures.style import MAJORITY
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_classifier import AVERAGE
from w2v_jax.models.vectors import read_vectors
from w2v_jax.nn.layers import pad_to
from w2v_jax.nn.recurrent import CELLS
from w2v_jax.overrides import override
from w2v_jax.tables import aligned
from w2v_jax.train import loop, world
from w2v_jax.train.logs import tell
from w2v_jax.train.restore import Model, open_model
from w2v_jax.types import Source, Words

FAMILY = "recurrent_classifier"
CONFIGS = cli.ROOT / "configs"
SPLITS = ("train", "heldout", "test")
RATES = {AVERAGE: 25.0, "elementwise": 10.0}  # times the config's learning rate
WIDTH = 64  # scored texts are padded to a multiple of this number of words
DECIDED = {  # overrides of --config that mean nothing
    "model.cell": "--models names the cells",
    "model.vectors": "--vectors names them",
    "model.dim": "it is that of the vectors",
    "model.frozen": "the vectors are never trained",
    "data.source": "--train names it",
    "data.test_source": "--test names it",
    "data.labels": "--labels names them",
}
# What the transformer takes from the model of --config.
SHARED = ("vectors", "dim", "frozen", "encoding_errors", "classes", "max_length")


def say(line: str) -> None:
    """Progress goes to standard error, results to standard output; of several processes the first says it."""
    tell(line)


def rung(base: Config, last: Config, name: str) -> Config:
    """The config of one model: `base` with the changes of its cell, or `last` with data, vectors and text length of
    `base` for the transformer.

    `average` and the elementwise cells have few weights and small inputs, and learn at higher rates. An elementwise
    cell is as wide as the vectors. `elementwise` classifies by its last context, as in the notes.
    """
    if name == TRANSFORMER:
        shared = {key: getattr(base.model, key) for key in SHARED}
        return dataclasses.replace(last, data=base.data, model=dataclasses.replace(last.model, **shared))
    changes: dict[str, Any] = {"model.cell": name}
    changes["optimizer.learning_rate"] = base.optimizer.learning_rate * RATES.get(name, 1.0)
    if name == AVERAGE:
        changes["model.bidirectional"] = False
    elif CELLS[name].elementwise:
        changes["model.hidden"] = base.model.dim
    if name == "elementwise":
        changes["model.pool"] = "last"
    return override(base, changes, MODELS)


def digest(consts: dict[str, Any]) -> str:
    """SHA-256 of the frozen vectors that the step gets."""
    return hashlib.sha256(np.ascontiguousarray(consts["vectors"]).tobytes()).hexdigest()


def probabilities(model: Model, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [N, classes], labels int32 [N]) of all texts of a split."""
    found, labels = [], []
    for step in source.iterate(0, source.steps_per_epoch):
        there = step["label"][0] >= 0
        seen = pad_to(max(1, int(step["steps"].max())), WIDTH)
        found.append(chances_of(model, step["tokens"][0][:, :seen], step["length"][0])[there])
        labels.append(step["label"][0][there])
    return np.concatenate(found), np.concatenate(labels)


def judged(model: Model, corpus: Any, split: str) -> np.ndarray:
    """Probabilities of the labels, float32 [N, classes], of the texts of one split in their order."""
    source = model.spec.trained.source(model.cfg, corpus, split, model.config.train.batch_size, 0)
    found, labels = probabilities(model, source)
    part = getattr(corpus, split)
    order = by_length([min(len(ids), model.cfg.max_length) for ids in part.ids])
    assert (part.labels[order] == labels).all()
    whole = np.empty_like(found)
    whole[order] = found
    return whole


def held_row(folder: Path, name: str, corpus: Any, seconds: float) -> dict[str, Any]:
    """A model's row of the results before the test texts are read."""
    model = open_model(folder)
    held = classification(judged(model, corpus, "heldout"), corpus.heldout.labels)
    row = {"model": name, "parameters": parameters(model.params), "heldout_accuracy": held.accuracy}
    return row | {"heldout_loss": held.loss, "step": model.step, "seconds": seconds}


def test_row(folder: Path, corpus: Any) -> tuple[dict[str, Any], str]:
    """(what the test texts add to the row, `digest` of the frozen vectors). Writes predictions beside the folder."""
    model = open_model(folder)
    chances, nothing = judged(model, corpus, "test"), np.zeros(0)
    test = classification(chances, corpus.test.labels)
    places = corpus.test.places
    texts = Texts(corpus.names, [], nothing, nothing, True, places, corpus.test.labels, places)
    report.write_predictions(folder.parent, folder.name, texts, chances)
    row = {"test_accuracy": test.accuracy, "test_error": test.error, "test_loss": test.loss}
    row["test_macro_f1"] = macro_f1(test.confusion)
    return row | {"confusion": test.confusion.tolist()}, digest(model.consts)


def climb(base: Config, rungs: Mapping[str, Config], workdir: Path) -> dict[str, Any]:
    """Trains and scores the models `rungs`, which all have the data and vectors of `base`; returns results.json.
    UserError, Interrupted, Diverged: see `loop.train`."""
    spec = MODELS[FAMILY]
    with cli.as_flag("config.model.classes", "model.classes"):
        corpus = spec.text(base.model, base.data, say)
    cfg = spec.resolve(base.model, len(corpus.vocab))
    before = digest(spec.consts(cfg, Words(corpus.vocab.words, corpus.vocab.counts)))
    sources = {split: spec.trained.source(cfg, corpus, split, base.train.batch_size, 0) for split in SPLITS}
    cut = {split: source.report for split, source in sources.items()}
    rows: list[dict[str, Any]] = []
    for name, config in rungs.items():
        say(f"--- {name}")
        result = loop.train(config, workdir / name)
        rows.append(world.from_first(partial(held_row, workdir / name, name, corpus, result["seconds"])))
    for row in rows:
        found, after = world.from_first(partial(test_row, workdir / row["model"], corpus))
        if after != before:
            raise UserError(f"{base.model.vectors}: the vectors changed during training; start again")
        row |= found
    vectors = {"file": base.model.vectors, "sha256_before": before, "sha256_after": after}
    about = {"vectors": vectors, "corpus": corpus.report, "max_length": base.model.max_length, "cut": cut}
    about |= {"majority": majority(corpus.train.labels, corpus.test.labels)}
    return about | {"models": rows, "command": cli.command("experiments.sentiment")}


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    rows = [["model", "trained parameters", "held-out accuracy", "test accuracy", "macro F1", "seconds"]]
    for row in results["models"]:
        test = shares.told(row["test_accuracy"], int(np.sum(row["confusion"])))
        scores = [f"{row['heldout_accuracy']:.2%}", test, f"{row['test_macro_f1']:.4f}", f"{row['seconds']:.0f}"]
        rows.append([row["model"], f"{row['parameters']:,}", *scores])
    error = shares.about(row["test_accuracy"] for row in results["models"])
    cuts = [
        f"{split} {part['cut_examples'] / part['examples']:.1%} of the texts and {part['cut_share']:.1%} of the words"
        for split, part in results["cut"].items()
    ]
    vectors = results["vectors"]
    rungs = [
        {"method": row["model"], "accuracy": row["test_accuracy"], "confusion": row["confusion"]}
        for row in results["models"]
    ]
    return (
        f"{aligned(rows)}\n\n"
        f"{error}; {MAJORITY}: {results['majority']:.2%}\n"
        f"texts are cut after {results['max_length']} words: {', '.join(cuts)}\n"
        f"frozen vectors, SHA-256 before {vectors['sha256_before'][:16]}, after {vectors['sha256_after'][:16]}\n\n"
        f"{report.labels({'methods': rungs, 'labels': results['corpus']['labels']})}"
    )


def config_of(flag: str, file: Path, family: str) -> Config:
    """The config that a flag names, `file` by default. UserError: it is of another family."""
    config = config_flag.parsed(flag, default=file)
    if config.family != family:
        raise UserError(f"--{flag}: family {config.family} cannot be trained here; it must be {family}")
    return config


def base_config() -> Config:
    """The config of --config with the values of the other flags. UserError: a missing flag, or another family."""
    f = flags.FLAGS
    needed = {"vectors": "runs/skipgram/vectors.bin", "train": "tsv:imdb/train.tsv.xz", "test": "tsv:imdb/test.tsv.xz"}
    for name, example in needed.items():
        if not f[name].value:
            raise UserError(f"--{name} is missing: e.g. --{name}={example}")
    config_flag.refuse(
        "config", DECIDED | ({} if f.max_length is None else {"model.max_length": "--max_length is given"})
    )
    shared = {f"model.{key}": "it is that of --config" for key in SHARED}
    config_flag.refuse(TRANSFORMER, shared | {"data.": "all models read one text"})
    config = config_of("config", CONFIGS / "sentiment.py", FAMILY)
    errors = f.encoding_errors if f["encoding_errors"].present else config.model.encoding_errors
    with warnings_in_lines():
        dim = read_vectors(f.vectors, errors).vectors.shape[1]
    # `rung` replaces the cell. A matrix cell allows any sizes until then.
    model = dataclasses.replace(config.model, cell="lstm", vectors=f.vectors, dim=dim, frozen=True)
    model = dataclasses.replace(model, encoding_errors=errors)
    if f.max_length is not None:
        model = dataclasses.replace(model, max_length=f.max_length)
    data = dataclasses.replace(config.data, source=f.train, test_source=f.test, labels=f.labels)
    given = {word.partition("=")[0] for word in flags.FLAGS["config.KEY"].value or ()}
    if f.labels == "named" and "model.classes" not in given and model.classes == type(model)().classes:
        model = dataclasses.replace(model, classes=len(read_labelled(f.train, data, None).names))
    return dataclasses.replace(config, model=model, data=data)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    workdir = cli.workdir("give the folder of the ladder, e.g. --workdir=runs/sentiment", several=f.text is None)
    if f.text is not None:
        by_first(lambda: print(label_texts.table(f.text, workdir, say)))
        return 0
    models = list(dict.fromkeys(f.models))
    for name in models or [""]:
        check_choice("--models", name, (AVERAGE, *CELLS, TRANSFORMER))
    config = base_config()
    last = config_of(TRANSFORMER, CONFIGS / "sentiment_transformer.py", LAST_FAMILY)
    rungs = {name: rung(config, last, name) for name in models}
    config_flag.set_compile_cache(config.data.cache_dir)
    distributed.initialize()
    results = climb(config, rungs, workdir)
    world.from_first(lambda: show(results, workdir))
    return 0


def show(results: dict[str, Any], workdir: Path) -> None:
    """Prints the table, writes the results and draws the ladder."""
    print(table(results))
    paint = partial(ladder.draw, results["models"], results["majority"], source=results["command"])
    cli.write_results(workdir / "results.json", results, workdir / "ladder.png", paint)


if __name__ == "__main__":
    config_flag.define(text="Config file of all rungs but the transformer, e.g. configs/sentiment.py")
    config_flag.define("transformer", "Config file of the transformer, e.g. configs/sentiment_transformer.py")
    flags.DEFINE_string("vectors", None, "Word vectors (word2vec, GloVe, fastText); training does not change them.")
    define_encoding_errors()
    flags.DEFINE_string("train", None, "Labelled texts to train on: tsv:GLOB (label<TAB>text) or tfds:NAME[@SPLIT].")
    flags.DEFINE_string("test", None, "Labelled texts that are scored once, at the end.")
    kinds = "sst2: grades 0-1 negative, 2 left out, 3-4 positive; as_is: 0, 1, ...; named: any names."
    flags.DEFINE_enum("labels", "binary", ["binary", "sst2", "as_is", "named"], kinds)
    rungs = ["average", "elementwise", "rnn", "lstm", TRANSFORMER]
    flags.DEFINE_list("models", rungs, "The rungs, from the first to the last.")
    flags.DEFINE_integer("max_length", None, "Words of a text that are read; the config's by default.", 1)
    flags.DEFINE_string("workdir", None, "Folder with one run folder per model; made, continued or read.")
    flags.DEFINE_multi_string("text", None, "A text for the trained models to classify; may be repeated.")
    cli.run(main, continues=True)
