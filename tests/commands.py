"""Commands run as a user runs them: inside this process, where starting Python would take most of the time, or in one
of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from absl import flags

ROOT = Path(__file__).resolve().parents[1]
LINES, WORDS_A_LINE, MIN_COUNT, HELDOUT_EVERY = 640, 16, 2, 20


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    def result(self) -> dict[str, Any]:
        """The JSON result that a training prints last."""
        assert self.status == 0, self.err
        return dict(json.loads(self.out.strip().splitlines()[-1]))


@contextlib.contextmanager
def _no_flags_of_ours() -> Iterator[None]:
    """The commands define their flags anew; what other modules of ours had defined comes back afterwards."""
    before = {name: flags.FLAGS[name] for name in filter(_is_ours, list(flags.FLAGS))}
    for name in before:
        delattr(flags.FLAGS, name)
    try:
        yield
    finally:
        for name in filter(_is_ours, list(flags.FLAGS)):
            delattr(flags.FLAGS, name)
        for name, flag in before.items():
            flags.FLAGS[name] = flag


def _is_ours(name: str) -> bool:
    module = str(flags.FLAGS.find_module_defining_flag(name, "experiments"))  # what came back has no module any more
    return module.startswith(("experiments", "launch", "benchmarks", "__main__"))


def run(module: str, *arguments: str) -> Done:
    """`python -m MODULE ARGUMENTS` in this process. Whatever is no proper ending is raised."""
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = [module, *arguments]
    try:
        with _no_flags_of_ours(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            package = (ROOT / module.replace(".", "/")).is_dir()
            name = f"{module}.__main__" if package else module
            imported = sys.modules.pop(name, None)
            try:
                runpy.run_module(module, run_name="__main__")
            finally:
                if imported is not None:
                    sys.modules[name] = imported
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
        return Done(status, out.getvalue(), err.getvalue())
    finally:
        sys.argv = argv
    raise AssertionError(f"{module} did not exit")


def environment(devices: int) -> dict[str, str]:
    """Of a process with so many CPU devices. Programs come out the same, to the last bit, on equal numbers of them."""
    return {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT)}


def start(*arguments: str, devices: int = 8) -> subprocess.Popen[str]:
    """`python ARGUMENTS` in a process of its own, with its output in pipes."""
    line, pipe = [sys.executable, *arguments], subprocess.PIPE
    return subprocess.Popen(line, cwd=ROOT, env=environment(devices), stdout=pipe, stderr=pipe, text=True)


def text_of(words: int, lines: int = LINES, width: int = WORDS_A_LINE, seed: int = 0) -> str:
    """Zipfian text of made-up words (a few of them so rare that they fall below the minimum count)."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(2, words + 2)
    ids = rng.choice(words, (lines, width), p=share / share.sum())
    names = np.array(["".join(chr(97 + int(d)) for d in f"{i:03d}") for i in range(words)])
    return "".join(" ".join(line) + "\n" for line in names[ids])


def split_of(text: str) -> tuple[list[list[str]], dict[str, int]]:
    """(lines of the training split, count of every word in them that is frequent enough), by plain Python."""
    lines = [line.split() for i, line in enumerate(text.splitlines()) if i % HELDOUT_EVERY != HELDOUT_EVERY - 1]
    counts: dict[str, int] = {}
    for line in lines:
        for word in line:
            counts[word] = counts.get(word, 0) + 1
    return lines, {w: c for w, c in counts.items() if c >= MIN_COUNT}


def training(text: Path | str, workdir: Path | str, **change: Any) -> list[str]:
    """The arguments of a small training. `change` holds further overrides, with `__` for the dot."""
    values = {
        "data.source": f"text:{text}",
        "data.min_count": MIN_COUNT,
        "data.heldout_every": HELDOUT_EVERY,
        "model.dim": 8,
        "model.segment": 32,
        "model.shared_negatives": 16,
        "model.sample": 0.01,
        "train.passes": 2.0,
        "train.batch_size": 128,
        "train.steps_per_call": 4,
        "log.every_steps": 8,
        "log.tensorboard": False,
        "checkpoint.every_steps": 1000,
        "mesh.data": 1,
    } | {key.replace("__", "."): value for key, value in change.items()}
    overrides = [f"--config.{key}={value}" for key, value in values.items()]
    return [f"--config={ROOT / 'configs/skipgram.py'}", f"--workdir={workdir}", *overrides]


def train(text: Path | str, workdir: Path | str, **change: Any) -> Done:
    """One small training in this process."""
    return run("experiments.train", *training(text, workdir, **change))


def at_call(patch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Calls `act` when the training dispatches its call of that number, counted from 1."""
    from w2v_jax.train import loop

    send, calls = loop.send, [0]

    def counting(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            act()
        return send(*arguments)

    patch.setattr(loop, "send", counting)


def metrics(workdir: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def checkpoints(workdir: Path) -> list[int]:
    """Steps of the committed checkpoints, rising."""
    return sorted(int(f.name) for f in (workdir / "checkpoints").iterdir() if f.name.isdigit())


def final_arrays(workdir: Path) -> dict[str, list[Any]]:
    """Type, shape and digest of every array of the newest checkpoint, as recorded when it was written."""
    from w2v_jax.storage import to_path
    from w2v_jax.train import stored

    return dict(stored.record(to_path(workdir) / "checkpoints" / str(checkpoints(workdir)[-1]))["leaves"])


def vectors(workdir: Path) -> bytes:
    """The exported vectors, both matrices."""
    return (workdir / "vectors.bin").read_bytes() + (workdir / "C.bin").read_bytes()


def matrices(workdir: Path) -> tuple[list[str], np.ndarray]:
    """(words, input vectors beside context vectors) of a finished run."""
    from w2v_jax.embeddings import load

    tables = [load(workdir / name) for name in ("vectors.bin", "C.bin")]
    return list(tables[0].words), np.concatenate([np.asarray(t.vectors) for t in tables], axis=1)


def refused(done: Done, *parts: str, alone: bool = True) -> None:
    """Exit status 2 and one line, which starts with `error:` and has all `parts`; with `alone` no other line either."""
    assert done.status == 2, (done.status, done.err)
    lines = done.err.strip().splitlines()
    assert lines[-1].startswith("error: ") and sum("error" in line for line in lines) == 1, done.err
    assert "Traceback" not in done.err and done.out == ""
    if alone:
        assert len(lines) == 1, done.err
    for part in parts:
        assert re.search(part, lines[-1]), (part, lines[-1])


def nothing_of_a_run(workdir: Path) -> None:
    """No folder, or an empty one, which another config can still take."""
    assert not workdir.is_dir() or not list(workdir.iterdir())
