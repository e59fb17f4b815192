"""A ladder of sentiment classifiers over the same frozen word vectors, from their mean to the transformer.

  python -m experiments.sentiment --vectors=FILE --train=tsv:GLOB --test=tsv:GLOB --workdir=DIR \
      [--labels=binary|sst2] [--models=average,elementwise,rnn,lstm,transformer] [--max_length=400] \
      [--config=FILE [...]] [--transformer=FILE [...]]
  python -m experiments.sentiment --workdir=DIR --text='The dog was cute'

Each model is trained in DIR/MODEL with the settings of configs/sentiment.py, or of --config. The transformer takes only
data and max_length from there, and the rest from configs/sentiment_transformer.py, or from --transformer. The same
command continues an interrupted ladder; with a longer --models it trains the new models only. Of each model the
checkpoint with the lowest loss on a held-out tenth of the training texts is used, and the test texts are scored once,
at the end. The table is also in DIR/results.json, the picture in DIR/ladder.png. With --text every model in DIR
classifies that text.
Exit status: 0 done, 1 a loss diverged, 2 bad input, 128 + n stopped by signal n after saving.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.common import cli, config_flag
from experiments.common.measuring import parameters
from w2v_jax.config import Config, check_choice
from w2v_jax.errors import UserError
from w2v_jax.evaluation.classification import Scores, classification
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_classifier import AVERAGE
from w2v_jax.models.vectors import read_vectors
from w2v_jax.nn.layers import pad_to
from w2v_jax.nn.recurrent import CELLS
from w2v_jax.tables import aligned
from w2v_jax.train.restore import Model, open_model
from w2v_jax.types import Consts, Params, Source, Words

FAMILY, LAST_FAMILY = "recurrent_classifier", "transformer_classifier"
TRANSFORMER = "transformer"
CONFIGS = cli.ROOT / "configs"
RESULTS, PICTURE = "results.json", "ladder.png"
LABELS = ("negative", "positive")  # of data.labels=binary and sst2
SPLITS = ("train", "heldout", "test")
RATES = {AVERAGE: 25.0, "elementwise": 10.0}  # times the config's learning rate
WIDTH = 64  # texts are padded to a multiple of this many words to be scored


def say(line: str) -> None:
    """Progress goes to standard error, results to standard output."""
    print(line, file=sys.stderr, flush=True)


def rung(base: Config, last: Config, name: str) -> Config:
    """The config of one model of the ladder: `base` with the changes that its cell needs. The transformer's is `last`
    with data, vectors and text length of `base`.

    `average` and the elementwise cells have few weights and small inputs, and learn at higher rates. An elementwise
    cell is as wide as the vectors. `elementwise` classifies by its last context, as in the notes.
    """
    model, change = base.model, dict[str, Any]()
    if name == TRANSFORMER:
        return dataclasses.replace(
            last,
            data=base.data,
            model=dataclasses.replace(
                last.model,
                classes=model.classes,
                max_length=model.max_length,
                vectors=model.vectors,
                dim=model.dim,
                frozen=model.frozen,
            ),
        )
    if name == AVERAGE:
        change["bidirectional"] = False
    elif CELLS[name].elementwise:
        change["hidden"] = model.dim
    if name == "elementwise":
        change["pool"] = "last"
    rate = base.optimizer.learning_rate * RATES.get(name, 1.0)
    return dataclasses.replace(
        base,
        model=dataclasses.replace(model, cell=name, **change),
        optimizer=dataclasses.replace(base.optimizer, learning_rate=rate),
    )


def digest(consts: dict[str, Any]) -> str:
    """SHA-256 of the frozen vectors, as they are handed to the step."""
    return hashlib.sha256(np.ascontiguousarray(consts["vectors"]).tobytes()).hexdigest()


@partial(jax.jit, static_argnums=(0, 1))
def _apply(family: str, cfg: Any, params: Params, consts: Consts, tokens: jax.Array, lengths: jax.Array) -> Any:
    classify = MODELS[family].classify
    assert classify is not None
    return jax.nn.softmax(classify(cfg, params, consts, tokens, lengths), axis=1)


def read(model: Model, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Texts int32 [B, T] of int32 [B] words -> probabilities of the labels, float32 [B, classes]."""
    return np.asarray(_apply(model.config.family, model.cfg, model.params, model.consts, tokens, lengths))


def probabilities(model: Model, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [N, classes], labels int32 [N]) of all texts of one pass."""
    found, labels = [], []
    for step in source.iterate(0, source.steps_per_epoch):
        there = step["label"][0] >= 0
        seen = pad_to(max(1, int(step["steps"].max())), WIDTH)
        found.append(read(model, step["tokens"][0][:, :seen], step["length"][0])[there])
        labels.append(step["label"][0][there])
    return np.concatenate(found), np.concatenate(labels)


def score(model: Model, corpus: Any, split: str) -> Scores:
    """Scores of a trained model on one split."""
    train = model.config.train
    return classification(
        *probabilities(model, model.spec.trained.source(model.cfg, corpus, split, train.batch_size, 0))
    )


def climb(base: Config, rungs: Mapping[str, Config], workdir: Path) -> dict[str, Any]:
    """Trains and scores the models; returns what goes into results.json.

    Args:
      base: whose data and vectors are those of all rungs.
      rungs: config by name of the model.
      workdir: of the ladder.

    Raises:
      UserError: bad input. Interrupted, Diverged: see `w2v_jax.train.loop.train`.
    """
    from w2v_jax.train import loop

    spec = MODELS[FAMILY]
    assert spec.train is not None
    corpus = spec.text(base.model, base.data, say)
    cfg = spec.resolve(base.model, len(corpus.vocab))
    before = digest(spec.consts(cfg, Words(corpus.vocab.words, corpus.vocab.counts)))
    sources = {split: spec.trained.source(cfg, corpus, split, base.train.batch_size, 0) for split in SPLITS}
    cut = {split: source.report for split, source in sources.items()}  # type: ignore[attr-defined]
    rows: list[dict[str, Any]] = []
    for name, config in rungs.items():
        say(f"--- {name}")
        result = loop.train(config, workdir / name)
        model = open_model(workdir / name)
        held = score(model, corpus, "heldout")
        count = parameters(model.params)
        rows.append({"model": name, "parameters": count, "heldout_accuracy": held.accuracy})
        rows[-1] |= {"heldout_loss": held.loss, "step": model.step, "seconds": result["seconds"]}
    majority, after = 0.0, before
    for row in rows:
        model = open_model(workdir / row["model"])
        test = score(model, corpus, "test")
        majority, after = test.majority, digest(model.consts)
        if after != before:
            raise UserError(f"{base.model.vectors}: the vectors changed while models were trained on them; start again")
        row |= {"test_accuracy": test.accuracy, "test_error": test.error, "test_loss": test.loss}
        row["confusion"] = test.confusion.tolist()
    return {
        "vectors": {"file": base.model.vectors, "sha256_before": before, "sha256_after": after},
        "corpus": corpus.report,
        "max_length": base.model.max_length,
        "cut": cut,
        "majority": majority,
        "models": rows,
        "command": cli.command("experiments.sentiment"),
    }


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    rows = [["model", "trained parameters", "held-out accuracy", "test accuracy", "seconds"]]
    rows += [
        [
            row["model"],
            f"{row['parameters']:,}",
            f"{row['heldout_accuracy']:.2%}",
            f"{row['test_accuracy']:.2%} ± {row['test_error']:.2%}",
            f"{row['seconds']:.0f}",
        ]
        for row in results["models"]
    ]
    shares = [
        f"{split} {part['cut_examples'] / part['examples']:.1%} of the texts and {part['cut_share']:.1%} of the words"
        for split, part in results["cut"].items()
    ]
    vectors = results["vectors"]
    return "\n".join(
        [
            aligned(rows),
            "",
            f"± one standard error; always the most frequent class: {results['majority']:.2%}",
            f"texts are cut after {results['max_length']} words: {', '.join(shares)}",
            f"frozen vectors, SHA-256 before {vectors['sha256_before'][:16]}, after {vectors['sha256_after'][:16]}",
        ]
    )


def classify(text: str, workdir: Path) -> str:
    """What every trained model in `workdir`, or the one that it is, says of a text, as text.

    Raises:
      UserError: an empty text, one without a known word, no trained model there.
    """
    from w2v_jax.train.folder import CONFIG as SAVED

    if not text.strip():
        raise UserError("--text is empty: give a sentence, e.g. --text='The dog was cute'")
    folders = [workdir] if (workdir / SAVED).is_file() else sorted(p.parent for p in workdir.glob(f"*/{SAVED}"))
    if not folders:
        raise UserError(f"--workdir={workdir}: holds no trained classifier; train them first with --vectors, --train")
    rows = [["model", "label", "confidence"]]
    for folder in folders:
        model = open_model(folder)
        if model.spec.classify is None:
            raise UserError(f"{folder}: holds a {model.config.family}; name the folder of a classifier")
        ids = model.tokenizer.encode(text)[: model.cfg.max_length]
        if not len(ids):
            raise UserError(f"--text={text!r}: none of its words is in the vocabulary of {folder}")
        chances = read(model, ids[None], np.array([len(ids)], np.int32))[0]
        best = int(chances.argmax())
        name = f"label {best}" if model.config.data.labels == "as_is" else LABELS[best]
        rows.append(
            [TRANSFORMER if model.config.family == LAST_FAMILY else model.cfg.cell, name, f"{chances[best]:.1%}"]
        )
    return aligned(rows, left=(0, 1))


def config_of(flag: str, file: Path, family: str) -> Config:
    """The config that a flag names, else the file's. UserError: of another family."""
    config = config_flag.parsed(flag, default=file)
    if config.family != family:
        raise UserError(f"--{flag}: family {config.family} is not what is trained there; it must be {family}")
    return config


def base_config() -> Config:
    """The config file with what the flags say. UserError: a flag that is missing or means nothing here."""
    f = flags.FLAGS
    needed = {"vectors": "runs/skipgram/vectors.bin", "train": "tsv:imdb/train.tsv.xz", "test": "tsv:imdb/test.tsv.xz"}
    for name, example in needed.items():
        if not f[name].value:
            raise UserError(f"--{name} is missing: e.g. --{name}={example}")
    config = config_of("config", CONFIGS / "sentiment.py", FAMILY)
    dim = read_vectors(f.vectors).vectors.shape[1]
    # A matrix cell stands in until `rung` puts its own in its place: it goes with any sizes.
    model = dataclasses.replace(config.model, cell="lstm", vectors=f.vectors, dim=dim, frozen=True)
    if f.max_length is not None:
        model = dataclasses.replace(model, max_length=f.max_length)
    data = dataclasses.replace(config.data, source=f.train, test_source=f.test, labels=f.labels)
    return dataclasses.replace(config, model=model, data=data)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    workdir = cli.workdir("give the folder of the ladder, e.g. --workdir=runs/sentiment")
    if f.text is not None:
        print(classify(f.text, workdir))
        return 0
    models = list(dict.fromkeys(f.models))
    for name in models or [""]:
        check_choice("--models", name, (AVERAGE, *CELLS, TRANSFORMER))
    from w2v_jax.figures import ladder

    config = base_config()
    last = config_of(TRANSFORMER, CONFIGS / "sentiment_transformer.py", LAST_FAMILY)
    rungs = {name: rung(config, last, name) for name in models}
    config_flag.set_compile_cache(config.data.cache_dir)
    results = climb(config, rungs, workdir)
    print(table(results))
    paint = partial(ladder.draw, results["models"], results["majority"], source=results["command"])
    cli.write_results(workdir / RESULTS, results, workdir / PICTURE, paint)
    return 0


def _define_flags() -> None:
    config_flag.define(text="Config file of all rungs but the transformer, e.g. configs/sentiment.py")
    config_flag.define("transformer", "Config file of the transformer, e.g. configs/sentiment_transformer.py")
    flags.DEFINE_string("vectors", None, "Word vectors (word2vec or GloVe file); they stay as they are.")
    flags.DEFINE_string("train", None, "Labelled texts to train on: tsv:GLOB (label<TAB>text) or tfds:NAME[@SPLIT].")
    flags.DEFINE_string("test", None, "Labelled texts to be scored once, at the end.")
    flags.DEFINE_enum("labels", "binary", ["binary", "sst2"], "sst2: grades 0 to 4 made two, 2 left out.")
    rungs = ["average", "elementwise", "rnn", "lstm", TRANSFORMER]
    flags.DEFINE_list("models", rungs, "The rungs, from the first to the last.")
    flags.DEFINE_integer("max_length", None, "Words of a text that are read; the config's by default.", 1)
    flags.DEFINE_string("workdir", None, "Folder with one run folder a model; made, continued or read.")
    flags.DEFINE_string("text", None, "Say what the trained models think of this text.")


if __name__ == "__main__":
    _define_flags()
    cli.run(main, continues=True)
