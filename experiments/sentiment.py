"""A ladder of sentiment classifiers over the same frozen word vectors, from their mean to a transformer.

  python -m experiments.sentiment --vectors=FILE --train=tsv:GLOB --test=tsv:GLOB --workdir=DIR \
      [--labels=binary|sst2|as_is|named] [--encoding_errors=strict|replace|ignore] \
      [--models=average,elementwise,rnn,lstm,transformer] [--max_length=400] \
      [--config=FILE [...]] [--transformer=FILE [...]]
  python -m experiments.sentiment --workdir=DIR --text='The dog was cute'

Each model is trained in DIR/MODEL with the settings of --config (configs/sentiment.py). The transformer takes only data
and max_length from there, the rest from --transformer (configs/sentiment_transformer.py). The same command continues an
interrupted ladder; with a longer --models it trains only the new models. The checkpoint of each model with the lowest
loss on a held-out tenth of the training texts scores the test texts, once, at the end. Prints a table; writes
results.json and ladder.png into DIR. With --text every model in DIR classifies that text; it may be repeated. For other
than two labels give --config.model.classes, their number.
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

from experiments.common import cli, config_flag
from experiments.common.labels import label_of
from experiments.common.measuring import parameters
from experiments.common.processes import by_first
from experiments.common.vectors import define_encoding_errors, warnings_in_lines
from experiments.common.words import notes_on
from launch import distributed
from w2v_jax.config import Config, check_choice
from w2v_jax.errors import UserError
from w2v_jax.evaluation.classification import Scores, classification, majority
from w2v_jax.figures import ladder
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_classifier import AVERAGE
from w2v_jax.models.vectors import read_vectors
from w2v_jax.nn.layers import pad_to
from w2v_jax.nn.recurrent import CELLS
from w2v_jax.overrides import override
from w2v_jax.tables import aligned
from w2v_jax.train import loop, world
from w2v_jax.train.folder import CONFIG as SAVED
from w2v_jax.train.logs import tell
from w2v_jax.train.restore import Model, open_model
from w2v_jax.types import Source, Words

FAMILY, LAST_FAMILY = "recurrent_classifier", "transformer_classifier"
TRANSFORMER = "transformer"
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


def read(model: Model, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Probabilities of the labels, float32 [B, classes], of texts int32 [B, T] with int32 [B] words."""
    return np.asarray(model.applied.labels(model.params, model.consts, tokens, lengths))


def probabilities(model: Model, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [N, classes], labels int32 [N]) of all texts of a split."""
    found, labels = [], []
    for step in source.iterate(0, source.steps_per_epoch):
        there = step["label"][0] >= 0
        seen = pad_to(max(1, int(step["steps"].max())), WIDTH)
        found.append(read(model, step["tokens"][0][:, :seen], step["length"][0])[there])
        labels.append(step["label"][0][there])
    return np.concatenate(found), np.concatenate(labels)


def score(model: Model, corpus: Any, split: str) -> Scores:
    """Scores of a trained model on one split."""
    source = model.spec.trained.source(model.cfg, corpus, split, model.config.train.batch_size, 0)
    return classification(*probabilities(model, source))


def held_row(folder: Path, name: str, corpus: Any, seconds: float) -> dict[str, Any]:
    """A model's row of the results before the test texts are read."""
    model = open_model(folder)
    held = score(model, corpus, "heldout")
    row = {"model": name, "parameters": parameters(model.params), "heldout_accuracy": held.accuracy}
    return row | {"heldout_loss": held.loss, "step": model.step, "seconds": seconds}


def test_row(folder: Path, corpus: Any) -> tuple[dict[str, Any], str]:
    """(what the test texts add to the row, `digest` of the frozen vectors)."""
    model = open_model(folder)
    test = score(model, corpus, "test")
    row = {"test_accuracy": test.accuracy, "test_error": test.error, "test_loss": test.loss}
    return row | {"confusion": test.confusion.tolist()}, digest(model.consts)


def climb(base: Config, rungs: Mapping[str, Config], workdir: Path) -> dict[str, Any]:
    """Trains and scores the models `rungs`, which all have the data and vectors of `base`; returns results.json.
    UserError, Interrupted, Diverged: see `loop.train`."""
    spec = MODELS[FAMILY]
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
    rows = [["model", "trained parameters", "held-out accuracy", "test accuracy", "seconds"]]
    for row in results["models"]:
        test = f"{row['test_accuracy']:.2%} ± {row['test_error']:.2%}"
        scores = [f"{row['heldout_accuracy']:.2%}", test, f"{row['seconds']:.0f}"]
        rows.append([row["model"], f"{row['parameters']:,}", *scores])
    shares = [
        f"{split} {part['cut_examples'] / part['examples']:.1%} of the texts and {part['cut_share']:.1%} of the words"
        for split, part in results["cut"].items()
    ]
    vectors = results["vectors"]
    return (
        f"{aligned(rows)}\n\n"
        f"± one standard error; always the most frequent class: {results['majority']:.2%}\n"
        f"texts are cut after {results['max_length']} words: {', '.join(shares)}\n"
        f"frozen vectors, SHA-256 before {vectors['sha256_before'][:16]}, after {vectors['sha256_after'][:16]}"
    )


def classify(texts: Sequence[str], workdir: Path) -> str:
    """A table of the labels that the trained models in `workdir`, or the run that it is, give each text. UserError: a
    text without a known word, or no trained model."""
    if not all(text.strip() for text in texts):
        raise UserError("--text is empty: give a sentence, e.g. --text='The dog was cute'")
    folders = [workdir] if (workdir / SAVED).is_file() else sorted(p.parent for p in workdir.glob(f"*/{SAVED}"))
    if not folders:
        raise UserError(f"--workdir={workdir}: holds no trained classifier; train them first with --vectors, --train")
    rows: list[list[str]] = []
    notes = dict[str, None]()  # each once, as most models have one vocabulary
    for folder in folders:
        model = open_model(folder)
        if model.spec.classify is None:
            raise UserError(f"{folder}: holds a {model.config.family}; name the folder of a classifier")
        kind = TRANSFORMER if model.config.family == LAST_FAMILY else model.cfg.cell
        for text in texts:
            ids = model.tokenizer.encode(text)[: model.cfg.max_length]
            if not len(ids):
                raise UserError(f"--text={text!r}: none of its words is in the vocabulary of {folder}")
            notes |= dict.fromkeys(notes_on(model.tokenizer, text, model.cfg.max_length, "text"))
            chances = read(model, ids[None], np.array([len(ids)], np.int32))[0]
            best = int(chances.argmax())
            rows.append([kind, label_of(model, folder, best), f"{chances[best]:.1%}", text])
    for note in notes:
        say(note)
    columns = 3 + (len(texts) > 1)  # one text need not be repeated
    return aligned([row[:columns] for row in [["model", "label", "confidence", "text"], *rows]], left=(0, 1, 3))


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
    return dataclasses.replace(config, model=model, data=data)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    workdir = cli.workdir("give the folder of the ladder, e.g. --workdir=runs/sentiment", several=f.text is None)
    if f.text is not None:
        by_first(lambda: print(classify(f.text, workdir)))
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
