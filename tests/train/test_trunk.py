"""Runs of schedule wsd that begin from the checkpoint of a shorter one, and end as if they had made all steps."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.commands import at_call, checkpoints, final_arrays, metrics
from w2v_jax.config import (
    CheckpointConfig,
    Config,
    DataConfig,
    LogConfig,
    MeshConfig,
    OptimizerConfig,
    SyntheticConfig,
    TrainConfig,
)
from w2v_jax.errors import Interrupted, UserError
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.train import loop, trunk
from w2v_jax.train.prepare import prepare

pytestmark = pytest.mark.xdist_group("trunk")  # one worker: runs share their compiled programs

SYNTHETIC = SyntheticConfig(words=60, topics=2, senses=4, distances="1,2", tokens=4000, heldout_tokens=600)
RUN = Config(
    family="recurrent_lm",
    model=RecurrentLMConfig(cell="elementwise", layers=1, dim=4, hidden=4, tied=True, length=8),
    data=DataConfig(
        **{"source": "synthetic", "heldout_source": "synthetic:heldout", "tokens": "whitespace", "end_token": "."},
        **{"min_count": 1, "unknown": "error", "synthetic": SYNTHETIC},
    ),
    train=TrainConfig(batch_size=8, steps_per_call=4),
    optimizer=OptimizerConfig(dense="adamw", learning_rate=0.03, schedule="wsd", warmup_steps=5),
    checkpoint=CheckpointConfig(every_steps=1000, keep=1),
    log=LogConfig(every_steps=16, eval_steps=0, tensorboard=False),
    mesh=MeshConfig(data=1),
)
SHORT, MIDDLE, LONG = 0.8, 1.1, 1.69  # passes of 63 steps: 51, 70 and 107 steps, which decay from 41, 56 and 86 on
SAME = (
    "steps",
    "words",
    "passes",
    "loss",
    "heldout_loss",
    "heldout_accuracy",
    "best_heldout_loss",
    "best_heldout_step",
)


def train(workdir: Path, passes: float, *trunks: Path, **change: Any) -> dict[str, Any]:
    train = dataclasses.replace(RUN.train, passes=passes)
    return loop.train(dataclasses.replace(RUN, train=train, **change), workdir, say=lambda line: None, trunks=trunks)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the short and the long run, each made by itself."""
    home = tmp_path_factory.mktemp("alone")
    for name, passes in (("short", SHORT), ("long", LONG)):
        train(home / name, passes)
    return home


def same(workdir: Path, other: Path) -> None:
    """Bit for bit, and as reported."""
    assert checkpoints(workdir)[-1] == checkpoints(other)[-1] and final_arrays(workdir) == final_arrays(other)
    one, two = (json.loads((at / "result.json").read_text()) for at in (workdir, other))
    assert {key: one[key] for key in SAME} == {key: two[key] for key in SAME}


def test_a_run_from_the_trunk_of_a_shorter_one_is_the_run_made_alone(
    alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoints(alone / "short") == [41, 51] and checkpoints(alone / "long") == [86, 107]
    result = train(tmp_path / "long", LONG, alone / "short")
    same(tmp_path / "long", alone / "long")
    assert result["shared"]["steps"] == 41 and result["shared"]["words"] == 41 * 64
    assert 0 < result["shared"]["seconds"] < result["seconds"]
    assert f"beginning at step 41, where {alone / 'short'} has the same state" in capsys.readouterr().err
    assert min(row["step"] for row in metrics(tmp_path / "long")) > 41
    assert "shared" not in json.loads((alone / "long" / "result.json").read_text())


def test_branches_of_branches_that_are_killed_end_the_same(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The middle run dies on its decay, without a word; the long one is stopped by a signal on the trunk."""

    def die() -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        at_call(patch, 6, die)  # calls from step 41: up to 45, 49, 53, 56, 60, ...
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path / "middle", MIDDLE, alone / "short")
    assert checkpoints(tmp_path / "middle") == [56]
    trunks = (alone / "short", tmp_path / "middle")
    with monkeypatch.context() as patch:
        at_call(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted):
            train(tmp_path / "long", LONG, *trunks)
    (stopped,) = checkpoints(tmp_path / "long")
    assert 56 < stopped < 86
    assert train(tmp_path / "long", LONG, *trunks)["shared"]["steps"] == 56
    same(tmp_path / "long", alone / "long")


def test_over_two_devices_and_no_checkpoint_of_a_trunk_is_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length of a run is part of its program then. Which steps of a trunk are scored depends on where a run began:
    here every loss is above the one before it."""
    losses = itertools.count(3.0, 0.1)
    monkeypatch.setattr(loop, "held_out", lambda run, say: lambda params: {"loss": next(losses), "correct": 0.5})
    change = {"mesh": MeshConfig(data=2), "checkpoint": CheckpointConfig(every_steps=32, keep=1)}
    train(tmp_path / "short", SHORT, **change)
    for name, trunks in (("whole", ()), ("branch", (tmp_path / "short",))):
        result = train(tmp_path / name, LONG, *trunks, **change)
        scored = {row["step"]: row["heldout_loss"] for row in metrics(tmp_path / name) if row["heldout_loss"]}
        assert min(scored) < 86 and [step for step in scored if step > 86] == [98, 107]
        assert result["best_heldout_step"] == 98 and result["best_heldout_loss"] == scored[98]
        assert checkpoints(tmp_path / name) == [86, 98, 107] and ("shared" in result) == bool(trunks)
    assert final_arrays(tmp_path / "branch") == final_arrays(tmp_path / "whole")


def begins(folder: Path, passes: float, *trunks: Path, **change: Any) -> list[int]:
    """The steps of `trunks` at which such a run may begin, the first choice first."""
    config = dataclasses.replace(RUN, train=dataclasses.replace(RUN.train, passes=passes), **change)
    return [step for _, step in trunk._shared(prepare(config, lambda line: None), trunks)]


def test_a_run_begins_only_where_all_but_the_length_is_equal(alone: Path, tmp_path: Path) -> None:
    short, long = alone / "short", alone / "long"
    assert begins(tmp_path, LONG, short) == [41] and begins(tmp_path, 2.0, short, long, tmp_path / "none") == [86, 41]
    # A longer run's state is as good, if it is not beyond the end of the own trunk; a decay's never is.
    assert begins(tmp_path, MIDDLE, long, short) == [41] and begins(tmp_path, 0.5, short) == []
    for change in ({"learning_rate": 0.02}, {"decay_fraction": 0.3}, {"schedule": "cosine"}, {"warmup_steps": 6}):
        assert begins(tmp_path, LONG, short, optimizer=dataclasses.replace(RUN.optimizer, **change)) == []
    other = dataclasses.replace(RUN.train, passes=LONG, stop_at=0.9)
    assert not trunk.shares(dataclasses.replace(RUN, train=other))
    text = dataclasses.replace(SYNTHETIC, tokens=4100)
    assert begins(tmp_path, LONG, short, data=dataclasses.replace(RUN.data, synthetic=text)) == []
    # Logs and saves change no state.
    assert begins(tmp_path, LONG, short, log=LogConfig(every_steps=5, eval_steps=0)) == [41]


def test_a_damaged_trunk_is_told_and_no_run_begins_there(alone: Path, tmp_path: Path) -> None:
    shutil.copytree(alone / "short", tmp_path / "short")
    for file in (tmp_path / "short/checkpoints/41/state/ocdbt.process_0/d").iterdir():
        file.write_bytes(bytes(file.stat().st_size))
    run = prepare(dataclasses.replace(RUN, train=dataclasses.replace(RUN.train, passes=LONG)), lambda line: None)
    told: list[str] = []
    assert trunk.find(run, [tmp_path / "short"], {}, told.append) is None
    assert len(told) == 1 and "checkpoint 41" in told[0] and "is damaged" in told[0]
    assert checkpoints(tmp_path / "short") == [41, 51], "another run's folder is left as it is"
    found = trunk.find(run, [tmp_path / "short", alone / "short"], {}, told.append)
    assert found is not None and found[0] == 41 and told[-1].startswith("beginning at step 41")


def test_a_trunk_of_another_text_is_refused(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "fingerprint", lambda consts: "others")
    with pytest.raises(UserError, match=f"{alone / 'short'}: its checkpoint was trained on another consts"):
        train(tmp_path / "long", LONG, alone / "short")
