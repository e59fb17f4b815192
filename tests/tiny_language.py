"""A tiny language model, its texts, and the flags that train it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.commands import ROOT, run

SMALLEST = ["--config.model.cell=rnn", "--config.model.layers=1"]
SPLITS = {"source": "train", "heldout_source": "valid", "test_source": "test"}


def tiny(home: Path) -> Path:
    """`home` with the run folder of a tiny model, and the files it was trained and is tested on."""
    rng = np.random.default_rng(0)
    for name, lines in (("train", 80), ("valid", 20), ("test", 15)):
        words = [" ".join(rng.choice(list("abcdefgh"), rng.integers(3, 9))) for _ in range(lines)]
        (home / f"{name}.txt").write_text("\n".join(words) + "\n")
    done = run("experiments.train", *arguments(home, home / "run"))
    assert done.status == 0, done.err
    return home


def arguments(home: Path, workdir: Path, *more: str) -> list[str]:
    sources = [f"--config.data.{k}=text:{home / f}.txt" for k, f in SPLITS.items()]
    sizes = {"hidden": 12, "dim": 12, "length": 8, "dropout": 0.4}
    model = [f"--config.model.{k}={v}" for k, v in sizes.items()]
    train = ["--config.train.batch_size=4", "--config.train.passes=1", "--config.train.steps_per_call=2"]
    save = ["--config.checkpoint.every_steps=1000", "--config.log.every_steps=4"]
    where = [f"--config={ROOT / 'configs/ptb.py'}", f"--workdir={workdir}", "--config.mesh.data=1"]
    return [*where, *sources, *model, *train, *save, "--config.log.tensorboard=False", *more]


def undrawn(patch: pytest.MonkeyPatch) -> None:
    """No picture, which has tests of its own."""
    from w2v_jax.figures import positions

    patch.setattr(positions, "draw", lambda *_: None)
