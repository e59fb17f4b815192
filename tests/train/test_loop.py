"""Whole small runs: what they write, and what they do when the loss is not finite."""

from __future__ import annotations

import collections
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import commands
from tests.commands import at_call, checkpoints, metrics, train
from w2v_jax.train import folder, loop, stop
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.programs import Programs

pytestmark = pytest.mark.xdist_group("loop")  # one worker: they share trained runs

TEXT = commands.text_of(900)


# What a run writes


def test_metrics_of_a_run(whole: tuple[Path, commands.Done]) -> None:
    workdir, done = whole
    result, rows = done.result(), metrics(workdir)
    lines, counts = commands.split_of(TEXT)
    in_vocabulary = sum(counts.values())
    assert 0 < in_vocabulary < sum(map(len, lines))  # some words were too rare
    assert result["words"] == 2 * in_vocabulary and result["passes"] == 2
    assert folder.read_result(workdir) == result
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps)) and steps[-1] == result["steps"] and len(steps) >= 10
    fields = {"step", "pass", "loss", "words_per_second", "data_wait", "learning_rate", "seconds", "heldout_loss"}
    for row in rows:
        assert fields | {"grad_norm", "update_norm", "param_norm"} <= row.keys()
        assert row["loss"] > 0 and row["words_per_second"] > 0 and 0 <= row["data_wait"] <= 1
        assert row["pass"] == pytest.approx(2 * row["step"] / result["steps"])
        rate = 0.3 * max(1 - row["step"] / result["steps"], 1e-4)
        assert row["learning_rate"] == pytest.approx(rate, rel=1e-4)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert [a["seconds"] <= b["seconds"] for a, b in zip(rows, rows[1:], strict=False)] == [True] * (len(rows) - 1)
    saved = {row["step"]: row["heldout_loss"] for row in rows if row["step"] % 16 == 0 or row is rows[-1]}
    assert result["best_heldout_loss"] == min(saved.values()) == saved[result["best_heldout_step"]]
    # The held-out loss comes once a pass, on the call that ends it, and may come with a checkpoint.
    scored = [row["pass"] for row in rows if row["heldout_loss"] is not None and row["step"] % 16]
    assert len(scored) == 2 and 1 <= scored[0] < 1.1 and scored[1] == 2


def test_words_per_second_add_up_to_the_words(whole: tuple[Path, commands.Done]) -> None:
    rows = metrics(whole[0])
    seconds = np.diff([0.0] + [row["seconds"] for row in rows])
    words = sum(row["words_per_second"] * s for row, s in zip(rows, seconds, strict=True))
    assert words == pytest.approx(whole[1].result()["words"], rel=1e-3)


def test_a_wait_for_data_counts_where_nothing_is_computed_meanwhile(text: Path, tmp_path: Path) -> None:
    real = loop.trunk.stacks

    def late(*given: Any) -> Iterator[Any]:
        for stack in real(*given):
            time.sleep(0.2)
            yield stack

    few: dict[str, Any] = {"train__max_steps": 32, "log__every_steps": 32}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.trunk, "stacks", late)
        patch.setattr(loop.Trainer, "busy", lambda trainer: False)  # all calls end at once
        starved = train(text, tmp_path / "starved", **few).result()
        patch.setattr(loop.Trainer, "busy", lambda trainer: bool(trainer.pending))  # calls that take for ever
        fed = train(text, tmp_path / "fed", **few).result()
    assert starved["data_wait"] * starved["seconds"] > 7 * 0.2  # the first of eight stacks comes before the clock
    assert fed["data_wait"] * fed["seconds"] < 0.2


def test_a_call_is_busy_until_its_metrics_are_there() -> None:
    class Metric:
        def __init__(self, ready: bool) -> None:
            self.is_ready = lambda: ready

    trainer = object.__new__(loop.Trainer)
    trainer.pending = collections.deque()
    assert not trainer.busy()
    for ready, busy in ((False, True), (True, False)):
        old, new = {"loss": (Metric(True), Metric(True))}, {"loss": (Metric(True), Metric(ready))}
        trainer.pending = collections.deque([(4, old, jnp.zeros(()), None), (8, new, jnp.zeros(()), None)])
        assert trainer.busy() is busy


def test_vectors_are_the_trained_tables(whole: tuple[Path, commands.Done]) -> None:
    words, both = commands.matrices(whole[0])
    counts = commands.split_of(TEXT)[1]
    assert set(words) == set(counts)
    found = [counts[w] for w in words]
    assert found == sorted(found, reverse=True)
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    table = jax.ShapeDtypeStruct((1024, 8), jnp.float32, sharding=here)
    with Checkpointer(whole[0] / "checkpoints", read_only=True) as saved:
        found_state = saved.restore_part("params", {"E": table, "C": table})
    assert found_state is not None
    tables = np.concatenate([found_state[1][name][: len(words)] for name in ("E", "C")], axis=1)
    np.testing.assert_array_equal(both, tables)


def test_the_step_compiles_once(text: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    late: list[str] = []

    def forget() -> None:  # by now every program of the run has been needed once
        late.extend(entry.getMessage() for entry in caplog.records)
        caplog.clear()

    with pytest.MonkeyPatch.context() as patch, jax.log_compiles(), caplog.at_level(logging.WARNING):
        at_call(patch, 24, forget)
        assert train(text, tmp_path / "run", checkpoint__every_steps=32).status == 0
    of_the_step = [line for line in late if line.startswith("Compiling") and "jit(call)" in line]
    assert len(of_the_step) == 1, late
    after = [e.getMessage() for e in caplog.records if e.getMessage().startswith("Compiling")]
    assert not [line for line in after if "jit(call)" in line or "evaluate" in line or "weighted" in line], after


def test_profile_is_written(text: Path, tmp_path: Path) -> None:
    words = [*commands.training(text, tmp_path / "run", train__max_steps=24), "--profile_steps=8,16"]
    done = commands.run("experiments.train", *words)
    assert done.status == 0 and "profile written to" in done.err
    assert done.result()["steps"] == 24
    # The schedule is that of the whole run: it has not come to its end.
    assert metrics(tmp_path / "run")[-1]["learning_rate"] > 0.2
    traces = list((tmp_path / "run" / "profile").glob("plugins/profile/*/*.xplane.pb"))
    assert len(traces) == 1 and traces[0].stat().st_size > 1000
    assert "warning: --profile_steps: a finished run makes no step" in commands.run("experiments.train", *words).err


def test_the_norm_of_the_parameters_is_that_of_the_checkpoint(whole: tuple[Path, commands.Done]) -> None:
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    table = jax.ShapeDtypeStruct((1024, 8), jnp.float32, sharding=here)
    with Checkpointer(whole[0] / "checkpoints", read_only=True) as saved:
        found = saved.restore_part("params", {"E": table, "C": table})
    assert found is not None
    last = metrics(whole[0])[-1]
    squares = sum(float((np.asarray(x, np.float64) ** 2).sum()) for x in found[1].values())
    assert last["step"] == found[0] and last["param_norm"] == pytest.approx(squares**0.5, rel=1e-5)


def test_a_transfer_that_nobody_asked_for_stops_the_loop(text: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "place", lambda mesh, value: value)
        with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
            train(text, tmp_path / "run")


# Divergence


def test_a_loss_that_is_not_finite_stops_the_run(text: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    wild: dict[str, Any] = {"optimizer__rows": "sgd", "optimizer__learning_rate": 1e12, "checkpoint__every_steps": 1}
    done = train(text, workdir, train__steps_per_call=1, **wild)
    assert done.status == 1 and "Traceback" not in done.err
    line = done.err.strip().splitlines()[-1]
    assert line.startswith("error: the loss is not finite by step ") and "optimizer.learning_rate below 1e+12" in line
    # Parameters can overflow one step before the loss shows it: no such state is kept, nor named as good.
    assert_all_finite(workdir)
    kept = checkpoints(workdir) if (workdir / "checkpoints").exists() else []
    good = f"last good checkpoint is step {kept[-1]}" if kept else "no checkpoint was saved before"
    assert good in line
    assert not (workdir / "result.json").exists() and not (workdir / "vectors.bin").exists()


def test_parameters_that_are_not_finite_are_never_saved(text: Path, tmp_path: Path) -> None:
    """The loss of a step is that of the parameters before it: the last one of an overflowing run is still finite."""
    workdir = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        real = Programs.training

        def poisoned(*given: Any) -> Any:
            call = real(*given)

            def spoil(state: Any, *rest: Any) -> Any:
                state, metrics, flag = call(state, *rest)
                if int(state.step) == 32:
                    with jax.transfer_guard("allow"):
                        params = state.params | {"E": state.params["E"].at[3, 2].set(jnp.nan)}
                    state = state.replace(params=params)
                return state, metrics, flag

            return spoil

        patch.setattr(Programs, "training", poisoned)
        done = train(text, workdir, checkpoint__every_steps=32)
    assert done.status == 1, done.err
    assert "the parameters are not finite by step 32; the last good checkpoint is step 16." in done.err.splitlines()[-1]
    assert checkpoints(workdir) == [16]
    assert_all_finite(workdir)


def assert_all_finite(workdir: Path) -> None:
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    table = jax.ShapeDtypeStruct((1024, 8), jnp.float32, sharding=here)
    for step in checkpoints(workdir):
        with Checkpointer(workdir / "checkpoints", read_only=True) as saved:
            found = saved.restore_part("params", {"E": table, "C": table}, step=step)
        assert found is not None and all(np.isfinite(x).all() for x in found[1].values()), step


def test_a_signal_while_the_loss_diverges_is_not_lost() -> None:
    with pytest.raises(loop.Diverged) as caught, stop.signals():
        os.kill(os.getpid(), signal.SIGTERM)
        raise loop.Diverged("not finite")
    assert caught.value.number == signal.SIGTERM
