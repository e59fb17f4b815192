"""Writes the texts and the held runs, each stopped half-way, and what the code makes of a copy that it continues.

    python -m tests.held.make [DIR]

Those in the repository were made at commit 5ddcd89. Their point is that nobody makes them again: only an intended
change of what a training computes, said so in its commit, is a reason to.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import commands, conftest  # conftest first: it sets the environment that JAX starts in
from tests.held import runs
from w2v_jax.evaluation.builtin import similarity_pairs

GOOD, BAD = ("good", "great", "cute", "fine"), ("bad", "awful", "dull", "poor")
PLAIN = ("the", "dog", "film", "was", "a", "very", "and", "plot")
STOPPED_AT = 5  # the call that the signal comes in


def words_text() -> str:
    """Zipfian text of the words of the built-in similarity list, so that `experiments.evaluate` finds some of them."""
    rng = np.random.default_rng(13)
    words = list(dict.fromkeys(word for pair in similarity_pairs() for word in pair[:2]))
    words = [words[i] for i in rng.permutation(len(words))]
    words = ["first", "value", *(w for w in words if w not in ("first", "value"))]
    share = 1 / np.arange(3, len(words) + 3)
    lines = [rng.choice(words, rng.integers(8, 25), p=share / share.sum()) for _ in range(144)]
    return "".join(" ".join(line) + "\n" for line in lines)


def reviews(count: int, seed: int) -> str:
    """`label<TAB>text` lines; a text leans to the words of its label."""
    rng = np.random.default_rng(seed)
    lines = []
    for label in rng.integers(0, 2, count):
        felt = [str(rng.choice((BAD, GOOD)[int(label) if rng.random() < 0.75 else 1 - int(label)])) for _ in range(3)]
        words = [*felt, *map(str, rng.choice(PLAIN, rng.integers(3, 12)))]
        lines.append(f"{label}\t{' '.join(words[i] for i in rng.permutation(len(words)))}\n")
    return "".join(lines)


def vectors_text() -> str:
    """Word vectors in the word2vec text format; feeling is their first dimension."""
    matrix = np.random.default_rng(3).normal(0, 0.3, (16, 4))
    matrix[:4, 0] += 1
    matrix[4:8, 0] -= 1
    rows = [" ".join([w, *(f"{x:.4f}" for x in row)]) for w, row in zip((*GOOD, *BAD, *PLAIN), matrix, strict=True)]
    return "16 4\n" + "\n".join(rows) + "\n"


def write_texts(folder: Path) -> None:
    """The texts, the labelled texts and the vectors that the runs read."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {"words.txt": words_text(), "train.tsv": reviews(240, 1), "test.tsv": reviews(40, 2)}
    for name, text in (made | {"vectors.txt": vectors_text()}).items():
        (folder / name).write_text(text, encoding="utf-8")


def make(name: str, folder: Path) -> None:
    """One stopped run in the folder `run`, and the outcome of a copy that is continued, in `expected.json`."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        runs.place_texts(Path())
        with pytest.MonkeyPatch.context() as patch:
            commands.at_call(patch, STOPPED_AT, lambda: os.kill(os.getpid(), signal.SIGTERM))
            stopped = runs.train(name)
        assert stopped.status == 128 + signal.SIGTERM and not (Path(runs.RUN) / "result.json").exists(), stopped.err
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(runs.RUN, folder / runs.RUN)
        expected = {"machine": runs.machine(), "batches": runs.batches(runs.read(Path(runs.RUN) / "config.json"))}
        done = runs.train(name)
        assert done.status == 0 and "continuing at step" in done.err, done.err
        text = by_line(expected | runs.outcome(name))
    (folder / runs.EXPECTED).write_text(text, encoding="utf-8")


def by_line(parts: dict[str, dict[str, Any]]) -> str:
    """JSON, a line for each entry of each part."""
    lines = [
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in part.items())
        + "\n}"
        for name, part in parts.items()
    ]
    return "{" + ",\n".join(lines) + "}\n"


if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = runs.XLA_FLAGS  # nothing is compiled yet
    target = Path(sys.argv[1] if len(sys.argv) > 1 else runs.HELD).resolve()
    write_texts(target / runs.TEXTS)
    for each in runs.RUNS:
        make(each, target / each)
        print(each, flush=True)
    conftest.pytest_unconfigure()
