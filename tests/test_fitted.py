"""A family that is fitted in sweeps goes through loop, checkpoints, restore, evaluation and ledger unasked."""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import commands, fitted
from tests.commands import MIN_COUNT, checkpoints, final_arrays, metrics, run, text_of
from w2v_jax.config import Config, DataConfig, TrainConfig
from w2v_jax.data.corpus import build_corpus
from w2v_jax.embeddings import load
from w2v_jax.models import MODELS
from w2v_jax.scaling.ledger import ledger
from w2v_jax.train import fitting, loop, world
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.restore import open_model

SWEEPS, DIM = 30, 3


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "svd", fitted.FAMILY)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    text = tmp_path / "text.txt"
    text.write_text(text_of(12, lines=120))
    data = DataConfig(source=f"text:{text}", min_count=MIN_COUNT, heldout_every=commands.HELDOUT_EVERY)
    return Config("svd", fitted.SVDConfig(DIM, SWEEPS), data=data, train=TrainConfig(seed=1))


def stop_after(patch: pytest.MonkeyPatch, sweeps: int, family: str = "svd") -> None:
    """A SIGTERM during the sweep of that number, counted from 1."""
    made, fit = [0], MODELS[family].fit
    assert fit is not None

    def counting(*given: Any) -> Any:
        made[0] += 1
        if made[0] == sweeps:
            signal.raise_signal(signal.SIGTERM)
        return fit.advance(*given)

    patch.setitem(MODELS, family, MODELS[family]._replace(fit=fit._replace(advance=counting)))


def test_it_ends_with_the_vectors_of_numpys_svd(config: Config, tmp_path: Path) -> None:
    result = loop.train(config, tmp_path / "run")
    assert (result["steps"], result["family"]) == (SWEEPS, "svd")
    rows = metrics(tmp_path / "run")
    assert [row["step"] for row in rows] == list(range(1, SWEEPS + 1)) and rows[-1]["loss"] < rows[0]["loss"]
    counts = fitted.counts_of(build_corpus(config.data)).astype(np.float64)
    left, values, _ = np.linalg.svd(counts)
    want = left[:, :DIM] * np.sqrt(values[:DIM])
    found = np.asarray(load(tmp_path / "run" / "vectors.bin").vectors, np.float64)
    np.testing.assert_allclose(found @ found.T, want @ want.T, atol=2e-2 * np.abs(want @ want.T).max())
    assert result["loss"] == pytest.approx(1 - (values[:DIM] ** 2).sum() / (values**2).sum(), abs=1e-3)
    # The rest takes it as any other family.
    model = open_model(tmp_path / "run")
    assert model.step == SWEEPS and np.array_equal(np.asarray(model.params["E"]), found.astype(np.float32))
    costs = ledger(config, len(counts))
    assert (costs.parameters, costs.padding, costs.unit) == (len(counts) * DIM, 0, "word")
    assert costs.state_bytes == 4 * len(counts) * DIM and costs.activation_bytes == 0
    done = run("experiments.evaluate", f"--workdir={tmp_path / 'run'}")
    assert done.status == 0, done.err
    assert "similarity" in json.loads((tmp_path / "run" / "evaluation.json").read_text())
    before = (tmp_path / "run" / "vectors.bin").stat().st_mtime_ns
    assert loop.train(config, tmp_path / "run") == result
    assert (tmp_path / "run" / "vectors.bin").stat().st_mtime_ns == before, "a finished run is only read"


def test_a_signal_saves_and_the_next_start_continues_bit_for_bit(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = loop.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        with pytest.raises(loop.Interrupted) as stopped:
            loop.train(config, tmp_path / "run")
    assert (stopped.value.step, checkpoints(tmp_path / "run")[-1]) == (7, 7)
    assert not (tmp_path / "run" / "result.json").exists()
    result = loop.train(config, tmp_path / "run")
    assert {k: v for k, v in result.items() if k != "seconds"} == {k: v for k, v in whole.items() if k != "seconds"}
    assert final_arrays(tmp_path / "run") == final_arrays(tmp_path / "whole")
    assert [row["step"] for row in metrics(tmp_path / "run")] == list(range(1, SWEEPS + 1))


def test_the_processes_of_a_fit_save_together_whatever_their_clocks_say(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process' clock says after each sweep that a save is due, the other's never. What the first tells is played
    back to the second, which is told the larger of both numbers, as `world.largest` does."""
    config = dataclasses.replace(config, train=TrainConfig(seed=1, max_steps=4))
    told: dict[str, list[int]] = {"fast": [], "slow": []}
    saved: dict[str, list[int]] = {"fast": [], "slow": []}
    save = Checkpointer.save
    for name, seconds in (("fast", -1.0), ("slow", 1e9)):
        others = iter(told["fast"] if name == "slow" else [0] * 1000)

        def larger(number: int, name: str = name, others: Iterator[int] = others) -> int:
            told[name].append(number)
            return max(number, next(others))

        def counted(self: Checkpointer, step: int, *rest: Any, name: str = name) -> None:
            saved[name].append(step)
            save(self, step, *rest)

        monkeypatch.setattr(fitting, "SAVE_SECONDS", seconds)
        monkeypatch.setattr(world, "largest", larger)
        monkeypatch.setattr(Checkpointer, "save", counted)
        loop.train(config, tmp_path / name)
    assert saved == {"fast": [1, 2, 3, 4], "slow": [1, 2, 3, 4]}
    assert len(told["slow"]) == len(told["fast"]) == 4 + 1, "once a step, and at the end"


def test_a_state_that_is_not_finite_ends_the_run(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = fitted.FAMILY.fit
    assert good is not None

    def broken(cfg: Any, text: Any, state: Any) -> Any:
        return {name: value * np.nan for name, value in state.items()}, {"loss": 0.0}

    monkeypatch.setitem(MODELS, "svd", fitted.FAMILY._replace(fit=good._replace(advance=broken)))
    with pytest.raises(fitting.Diverged, match="not finite after sweep 1"):
        loop.train(config, tmp_path / "run")
