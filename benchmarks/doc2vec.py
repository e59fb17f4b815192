"""Our vectors of documents beside gensim's Doc2Vec: the same tokens, settings and classifier.

    python -m benchmarks.doc2vec --train=jsonl:newsgroups20/train.jsonl.xz --test=jsonl:newsgroups20/test.jsonl.xz
        --out=results/doc2vec.json [--forms=dbow,dm] [--seeds=0,1,2] [--minutes=3] [--render]

Each run is a process of its own: it trains on the training texts without their labels, infers the test texts, and a
logistic regression on the trained vectors (C chosen on a tenth of the training texts) labels the test texts. Both sides
read the same lists of tokens with d = 100, window 5, 5 noise words, subsampling at 1e-3, words that occur 5 times and
--passes. gensim has its default rate and one thread; ours has that of configs/doc2vec.py. --development scores a fifth
of the training texts in place of the test texts: settings were chosen on it (--set changes one of ours).

Runs that --out holds are kept, so the command may be stopped and repeated; --minutes begins no further run after so
many. --render only prints the table: means over seeds with 95 % intervals by Student's t.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks import measure
from experiments.classify.texts import Texts, read
from experiments.common import cli, config_flag
from experiments.common.machine import machine
from experiments.common.seeds import interval
from w2v_jax.data.words import Rules, words_of
from w2v_jax.errors import UserError
from w2v_jax.evaluation import linear
from w2v_jax.files import read_json
from w2v_jax.tables import markdown

SIDES = ("ours", "gensim")
FORMS: dict[str, dict[str, Any]] = {
    "dbow": {"form": "dbow"},
    "dbow_words": {"form": "dbow", "words": True},
    "dm": {"form": "dm"},
}
Tokens = list[list[str]]


def ours(train: Tokens, test: Tokens, form: str, seed: int, passes: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Trains and infers by this package; rows of documents without a known word are zero."""
    from w2v_jax import train_documents

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        changes = {"data.cache_dir": f"{folder}/cache", "log.tensorboard": False, "mesh.data": 1} | changes
        settings: dict[str, Any] = {**FORMS[form], "seed": seed, "passes": float(passes)}
        docs = train_documents(train, f"{folder}/run", changes=changes, progress=False, **settings)
        trained = time.perf_counter()
        loop = json.loads(Path(folder, "run/result.json").read_text())["seconds"]
    found = np.zeros((len(train), docs.dim), np.float32)
    found[[int(name) for name in docs.words]] = docs.vectors
    inferred = docs.infer(test, seed=seed)
    return {
        "vectors": (found, inferred),
        "seconds": trained - start,
        "seconds_loop": loop,
        "seconds_infer": time.perf_counter() - trained,
    }


def gensim(train: Tokens, test: Tokens, form: str, seed: int, passes: int, changes: dict[str, Any]) -> dict[str, Any]:
    """The same by gensim; the whole of its constructor is timed, as ours."""
    from gensim.models import doc2vec

    if doc2vec.FAST_VERSION < 0:
        raise UserError("gensim was installed without its compiled code: its speed would mean nothing")
    start = time.perf_counter()
    tagged = [doc2vec.TaggedDocument(text, [i]) for i, text in enumerate(train)]
    kind = {"dm": int(form == "dm"), "dbow_words": int(form == "dbow_words")}
    same: dict[str, Any] = {"vector_size": 100, "window": 5, "min_count": 5, "negative": 5, "sample": 1e-3}
    model = doc2vec.Doc2Vec(tagged, **kind, **same, epochs=passes, seed=seed, workers=1, **changes)
    trained = time.perf_counter()
    inferred = np.stack([model.infer_vector(text) for text in test])
    seconds = time.perf_counter() - trained
    found = np.stack([model.dv[i] for i in range(len(train))])
    return {"vectors": (found, inferred), "seconds": trained - start, "seconds_infer": seconds}


def one(texts: Texts, side: str, form: str, seed: int, passes: int, changes: dict[str, Any]) -> dict[str, Any]:
    """A line of the record."""
    rules = Rules("words", True)
    train, test = ([words_of(text, rules) for text in part] for part in (texts.train, texts.test))
    made = {"ours": ours, "gensim": gensim}[side](train, test, form, seed, passes, changes)
    fitted = linear.fit(made["vectors"][0], texts.labels, len(texts.names), made["vectors"][1], texts.held)
    accuracy = float(np.mean(fitted.probabilities.argmax(1) == texts.test_labels))
    times = {name: round(value, 1) for name, value in made.items() if name.startswith("seconds")}
    words = sum(map(len, train))
    about = {"side": side, "form": form, "seed": seed, "passes": passes, "changes": changes}
    return about | {"accuracy": accuracy, "C": fitted.strength, "heldout": max(fitted.heldout.values())} | times | {
        "words": words, "train": len(train), "test": len(test), "inferred_words": sum(map(len, test))}  # fmt: skip


def development(texts: Texts) -> Texts:
    """A fifth of the training texts in the place of the test texts, the same one each time."""
    apart = np.random.default_rng(0).random(len(texts.train)) < 0.2
    kept = ~apart
    return dataclasses.replace(
        texts,
        train=[text for text, there in zip(texts.train, kept, strict=True) if there],
        labels=texts.labels[kept],
        held=texts.held[kept],
        test=[text for text, there in zip(texts.train, apart, strict=True) if there],
        test_labels=texts.labels[apart],
    )


def shown(values: Sequence[float], digits: int) -> str:
    """The mean with half of its 95 % interval, which one value has not."""
    half = interval(values)
    return f"{np.mean(values):.{digits}f}" + (f" ± {half:.{digits}f}" if np.isfinite(half) else "")


def table(runs: Sequence[dict[str, Any]]) -> str:
    """A line for each form, side and setting."""
    rows = [["form", "side", "seeds", "passes", "accuracy, %", "seconds to train", "words/s", "seconds to infer"]]
    keys = sorted({(r["form"], r["side"], r["passes"], json.dumps(r["changes"])) for r in runs}, reverse=True)
    for form, side, passes, changes in keys:
        which = (form, side, passes, changes)
        some = [r for r in runs if (r["form"], r["side"], r["passes"], json.dumps(r["changes"])) == which]
        train, infer = (np.median([r[name] for r in some]) for name in ("seconds", "seconds_infer"))
        speed = some[0]["words"] * passes / train
        name = side if changes == "{}" else f"{side} {changes}"
        cells = [shown([100 * r["accuracy"] for r in some], 2), f"{train:.0f}", f"{speed:,.0f}", f"{infer:.1f}"]
        rows.append([form, name, str(len(some)), str(passes), *cells])
    return markdown(rows)


def _changes(pairs: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def main(argv: Sequence[str]) -> int:
    """Makes what is missing, one process after another, and prints the table."""
    f = flags.FLAGS
    data = dataclasses.replace(config_flag.parsed().data, source=f.train, test_source=f.test)
    if f.one:
        side, form, seed = f.one.split(",")
        texts = read(data, 0.2, lambda line: None)
        texts = development(texts) if f.development else texts
        print(json.dumps(one(texts, side, form, int(seed), f.passes, _changes(f.set or ()))))
        return 0
    record = read_json(Path(f.out)) or {"command": cli.command("benchmarks.doc2vec"), "machine": machine(), "runs": []}
    begun, changes = time.monotonic(), _changes(f.set or ())
    for seed, form, side in ((s, form, side) for s in f.seeds for form in f.forms for side in f.sides):
        wanted = {"side": side, "form": form, "seed": int(seed), "passes": f.passes, "changes": changes}
        there = any(all(run[key] == value for key, value in wanted.items()) for run in record["runs"])
        if there or f.render or time.monotonic() - begun > 60 * f.minutes:
            continue
        line = [sys.executable, "-m", "benchmarks.doc2vec", *sys.argv[1:], f"--one={side},{form},{seed}"]
        measure.add_run(record, line, Path(f.out))
    print(table(record["runs"]))
    return 0


if __name__ == "__main__":
    config_flag.define(text="Config file of the text, e.g. configs/classify_newsgroups.py")
    flags.DEFINE_string("train", "", "Labelled texts to train on.")
    flags.DEFINE_string("test", "", "Labelled texts that are scored.")
    flags.DEFINE_string("out", "results/doc2vec.json", "The record.")
    flags.DEFINE_list("forms", ["dbow", "dm"], f"Of {', '.join(FORMS)}.")
    flags.DEFINE_list("sides", list(SIDES), f"Of {', '.join(SIDES)}.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Of training.")
    flags.DEFINE_integer("passes", 10, "Over the training texts, and over a text that is inferred.", 1)
    flags.DEFINE_multi_string("set", None, "KEY=VALUE of our config, or of gensim with --sides=gensim.")
    flags.DEFINE_bool("development", False, "Scores a fifth of the training texts instead of the test texts.")
    flags.DEFINE_float("minutes", 1e9, "After so many no other run is begun.")
    flags.DEFINE_bool("render", False, "Only prints the table.")
    flags.DEFINE_string("one", "", "For itself: SIDE,FORM,SEED of one run.")
    cli.run(main)
