"""Whole small runs: what they write, how they stop and continue, on how many devices, and what they refuse."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import logging
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import commands
from tests.commands import at_call, checkpoints, final_arrays, metrics, refused, train, vectors
from w2v_jax.config import Config, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.train import folder, loop, stop
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.programs import Programs

pytestmark = pytest.mark.xdist_group("loop")  # one worker: they share trained runs

TEXT = commands.text_of(900)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def whole(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, commands.Done]:
    """A run that nothing interrupted, and what it printed."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return workdir, train(text, workdir, checkpoint__every_steps=32)


@pytest.fixture(scope="module")
def stopped(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that a SIGTERM ended. It has two checkpoints; tests continue copies of it."""
    workdir = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        kill_self(patch, 17, signal.SIGTERM)
        done = train(text, workdir, checkpoint__every_steps=32)
    assert done.status == 128 + signal.SIGTERM, done.err
    assert f"at step {checkpoints(workdir)[-1]}, which is saved. The same command continues: " in done.err
    assert len(checkpoints(workdir)) == 2 and not (workdir / "result.json").exists()
    return workdir


@pytest.fixture
def copy(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def kill_self(patch: pytest.MonkeyPatch, call: int, number: signal.Signals) -> None:
    at_call(patch, call, lambda: os.kill(os.getpid(), number))


def same_end(workdir: Path, other: Path) -> None:
    """Bit for bit."""
    assert vectors(workdir) == vectors(other)
    assert checkpoints(workdir)[-1] == checkpoints(other)[-1] and final_arrays(workdir) == final_arrays(other)


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(f): (f.stat().st_mtime_ns, f.stat().st_size) for f in folder.rglob("*") if f.is_file()}


# What a run writes


def test_metrics_of_a_run(whole: tuple[Path, commands.Done]) -> None:
    workdir, done = whole
    result, rows = done.result(), metrics(workdir)
    lines, counts = commands.split_of(TEXT)
    in_vocabulary = sum(counts.values())
    assert 0 < in_vocabulary < sum(map(len, lines))  # some words were too rare
    assert result["words"] == 2 * in_vocabulary and result["passes"] == 2
    assert json.loads((workdir / "result.json").read_text()) == result
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


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_of_a_kind_acts_as_usual(number: signal.Signals) -> None:
    came: list[int] = []
    before = signal.signal(number, lambda n, frame: came.append(n))
    try:
        with stop.signals() as seen:
            os.kill(os.getpid(), number)
            assert seen == [number] and came == []
            os.kill(os.getpid(), number)
            assert seen == [number] and came == [number]
        os.kill(os.getpid(), number)
        assert came == [number] * 2
    finally:
        signal.signal(number, before)


def test_stopped_by_ctrl_c_it_continues_to_the_same_end(
    text: Path, whole: tuple[Path, commands.Done], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        kill_self(patch, 5, signal.SIGINT)
        done = train(text, workdir, checkpoint__every_steps=1000)
    assert done.status == 130 and "stopped by SIGINT at step" in done.err
    (step,) = checkpoints(workdir)
    # The flag goes with the next call, and calls already under way are finished.
    assert 20 <= step <= 40
    assert max(row["step"] for row in metrics(workdir)) <= step
    # What is not computed with may differ: how often to log and to save.
    done = train(text, workdir, checkpoint__every_steps=32, log__every_steps=4)
    assert f"continuing at step {step} of" in done.err
    same_end(workdir, whole[0])
    steps = [row["step"] for row in metrics(workdir)]
    assert steps == sorted(set(steps))
    result, wanted = done.result(), whole[1].result()
    for key in ("steps", "words", "loss", "heldout_loss", "passes"):
        assert key == "loss" or result[key] == wanted[key], key
    scored, expected = held_out(workdir), held_out(whole[0])
    assert all(expected[at] == scored[at] for at in scored.keys() & expected.keys())
    assert max(expected) in scored and len(scored.keys() & expected.keys()) >= 2


def held_out(workdir: Path) -> dict[int, float]:
    """Held-out losses by step."""
    return {row["step"]: row["heldout_loss"] for row in metrics(workdir) if row["heldout_loss"] is not None}


def test_log_lines_after_the_restored_step_are_dropped(
    text: Path, whole: tuple[Path, commands.Done], copy: Path
) -> None:
    last = checkpoints(copy)[-1]
    with open(copy / "metrics.jsonl", "a") as f:
        f.write(json.dumps({"step": last + 8, "loss": -1.0}) + "\n" + '{"step": 9')
    train(text, copy, checkpoint__every_steps=32)
    same_end(copy, whole[0])
    rows = metrics(copy)
    assert all(row["loss"] > 0 for row in rows)
    assert [r["step"] for r in rows] == sorted({r["step"] for r in rows})


@pytest.mark.parametrize("damage", ["truncated", "deleted", "flipped"])
def test_a_damaged_newest_checkpoint_costs_one_interval(
    damage: str, text: Path, whole: tuple[Path, commands.Done], copy: Path
) -> None:
    older, newest = checkpoints(copy)
    files = [f for f in (copy / "checkpoints" / str(newest)).rglob("*") if f.is_file()]
    largest = max(files, key=lambda f: f.stat().st_size)
    data = bytearray(largest.read_bytes())
    if damage == "deleted":
        largest.unlink()
    elif damage == "truncated":
        largest.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 4
        largest.write_bytes(data)
    done = train(text, copy, checkpoint__every_steps=32)
    assert done.status == 0
    warnings = [line for line in done.err.splitlines() if "warning" in line]
    assert len(warnings) == 1 and f"checkpoint {newest} in" in warnings[0], done.err
    assert f"continuing at step {older} of" in done.err
    same_end(copy, whole[0])


def test_other_text_under_the_same_config_is_refused(text: Path, stopped: Path, tmp_path: Path) -> None:
    own = tmp_path / "text.txt"
    own.write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        kill_self(patch, 3, signal.SIGTERM)
        train(own, tmp_path / "run")
    own.write_text(commands.text_of(900, seed=1))
    refused(train(own, tmp_path / "run"), "trained on another corpus", "--workdir=", alone=False)


# Rates that fall when the held-out loss stands still

# Only the first evaluation, at step 16, is an improvement. The rate falls after those of steps 48, 80 and 112.
PLATEAU: dict[str, Any] = {
    "optimizer__schedule": "plateau",
    "optimizer__patience": 2,
    "optimizer__min_improvement": 100.0,
    "log__eval_every_steps": 16,
}


@pytest.fixture(scope="module")
def flat(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run under the plateau schedule that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("flat") / "run"
    assert train(text, workdir, **PLATEAU).status == 0
    return workdir


def test_the_plateau_schedule_lowers_the_rate(flat: Path, whole: tuple[Path, commands.Done]) -> None:
    rows = metrics(flat)
    assert 128 < rows[-1]["step"] < 144
    for row in rows:
        fallen = sum(row["step"] >= at for at in (48, 80, 112))
        assert row["learning_rate"] == pytest.approx(0.3 * 0.5**fallen)
    assert final_arrays(flat)["rate_scale"][:2] == ["float32", []]
    assert final_arrays(flat)["rate_scale"] != final_arrays(whole[0])["rate_scale"]


def test_interrupted_between_two_judgements_it_continues_to_the_same_end(
    text: Path, flat: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        kill_self(patch, 17, signal.SIGTERM)
        assert train(text, workdir, **PLATEAU).status == 143
    assert 64 < checkpoints(workdir)[-1] < 80, "the rate has fallen once, and one evaluation counts against it"
    before = stamps(workdir)
    other = train(text, workdir, **PLATEAU | {"log__eval_every_steps": 8})
    refused(other, r"log\.eval_every_steps: is 8 here and was 16 before", alone=False)
    assert {f: at for f, at in stamps(workdir).items() if "checkpoints" in f} == {
        f: at for f, at in before.items() if "checkpoints" in f
    }
    # How often a checkpoint is saved, and scored, changes nothing.
    assert train(text, workdir, **PLATEAU, checkpoint__every_steps=24).status == 0
    same_end(workdir, flat)
    rates = [{row["step"]: row["learning_rate"] for row in metrics(w)} for w in (flat, workdir)]
    assert all(rates[1].get(step, rate) == rate for step, rate in rates[0].items())


def test_the_plateau_schedule_needs_held_out_text(text: Path, tmp_path: Path) -> None:
    done = train(text, tmp_path / "run", **PLATEAU, data__heldout_every=0)
    refused(done, "optimizer.schedule='plateau': needs held-out text", alone=False)


def test_microbatches_that_do_not_divide_are_refused_before_the_text_is_read(tmp_path: Path) -> None:
    done = train(tmp_path / "absent", tmp_path / "run", train__accumulate=3)
    refused(done, "train.accumulate=3: does not divide the 4 rows")


# Devices


def test_continued_on_fewer_and_fewer_devices(text: Path, whole: tuple[Path, commands.Done], tmp_path: Path) -> None:
    workdir, reached = tmp_path / "run", [0]
    size: dict[str, Any] = {"train__batch_size": 256, "model__segment": 32}
    for devices, call in ((8, 3), (2, 3), (1, None)):
        with pytest.MonkeyPatch.context() as patch:
            if call:
                kill_self(patch, call, signal.SIGTERM)
            done = train(text, workdir, mesh__data=devices, **size)
        assert done.status == (143 if call else 0), done.err
        assert reached == [0] or f"continuing at step {reached[-1]} of" in done.err
        reached.append(checkpoints(workdir)[-1])
    assert reached == sorted(set(reached))
    alone = train(text, tmp_path / "alone", mesh__data=1, **size)
    assert alone.result()["heldout_loss"] == pytest.approx(done.result()["heldout_loss"], rel=1e-5)
    words, got = commands.matrices(workdir)
    assert commands.matrices(tmp_path / "alone")[0] == words
    np.testing.assert_allclose(got, commands.matrices(tmp_path / "alone")[1], rtol=1e-3, atol=1e-5)


# Finished runs and other configs


def test_a_finished_run_prints_its_result_and_changes_nothing(text: Path, whole: tuple[Path, commands.Done]) -> None:
    before = stamps(whole[0])
    done = train(text, whole[0], checkpoint__every_steps=64, mesh__data=2, log__every_steps=1)
    assert done.result() == whole[1].result() and "finished" in done.err
    assert stamps(whole[0]) == before


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"model__dim": 9}, ["model.dim"]),
        ({"data__min_count": 3}, ["data.min_count"]),
        ({"train__seed": 1, "optimizer__learning_rate": 0.1}, ["optimizer.learning_rate", "train.seed"]),
        ({"train__passes": 3.0, "log__every_steps": 1}, ["train.passes"]),
    ],
)
@pytest.mark.parametrize("state", ["finished", "interrupted"])
def test_another_config_is_refused(
    state: str, change: dict[str, Any], names: list[str], text: Path, whole: tuple[Path, commands.Done], stopped: Path
) -> None:
    workdir = whole[0] if state == "finished" else stopped
    before = stamps(workdir)
    done = train(text, workdir, checkpoint__every_steps=32, **change)
    refused(done, f"differs in {', '.join(names)};", str(workdir))
    assert stamps(workdir) == before


def test_a_folder_that_another_command_trains_in_keeps_its_config(text: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    workdir.mkdir()
    with open(workdir / ".lock", "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(train(text, workdir), "another process trains in it", alone=False)
    assert not (workdir / "config.json").exists()


def test_of_two_commands_that_open_a_folder_the_first_to_claim_it_stays(tmp_path: Path) -> None:
    first = Config("word2vec", Word2VecConfig())
    with folder.claimed(tmp_path, first):
        pass
    before = (tmp_path / "config.json").read_text()
    second = dataclasses.replace(first, train=TrainConfig(seed=1))
    with pytest.raises(UserError, match=r"differs in train\.seed"), folder.claimed(tmp_path, second):
        raise AssertionError("claimed")
    assert (tmp_path / "config.json").read_text() == before


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
