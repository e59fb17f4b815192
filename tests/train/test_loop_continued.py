"""Whole small runs that stop and continue, on how many devices, and what a run folder refuses."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import commands
from tests.commands import at_call, checkpoints, final_arrays, metrics, refused, train, vectors
from w2v_jax.config import Config, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.train import folder, prepare, stop

pytestmark = pytest.mark.xdist_group("loop")  # one worker: they share trained runs

TEXT = commands.text_of(900)


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
        patch.setattr(prepare, "native", lambda *args: (True, ""))  # named only: its programs are those of XLA
        done = train(text, workdir, checkpoint__every_steps=1000)
    assert done.status == 130 and "stopped by SIGINT at step" in done.err
    (step,) = checkpoints(workdir)
    (workdir / ".projector.123.tmp").mkdir()  # as a kill in the middle of an export leaves it
    (workdir / ".projector.123.tmp" / "vectors.tsv").write_text("half")
    # The flag goes with the next call, and calls already under way are finished.
    assert 20 <= step <= 40
    assert max(row["step"] for row in metrics(workdir)) <= step
    # What is not computed with may differ: how often to log and to save.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NPROC", "9")  # XLA has read it long ago; a new process would compute with so many threads
        done = train(text, workdir, checkpoint__every_steps=32, log__every_steps=4)
    assert f"continuing at step {step} of" in done.err and not (workdir / ".projector.123.tmp").exists()
    assert "note: computes with 9 threads, with 32 before; NPROC=32 keeps the last bits equal" in done.err
    assert "note: steps are made by train.kernel=jax, by native before; W2V_JAX_KERNEL=native keeps" in done.err
    same_end(workdir, whole[0])
    steps = [row["step"] for row in metrics(workdir)]
    assert steps == sorted(set(steps))
    result, wanted = done.result(), whole[1].result()
    assert result["kernel"] == wanted["kernel"] == "jax"
    for key in ("steps", "words", "loss", "heldout_loss", "passes"):
        assert key == "loss" or result[key] == wanted[key], key
    scored, expected = held_out(workdir), held_out(whole[0])
    assert all(expected[at] == scored[at] for at in scored.keys() & expected.keys())
    assert max(expected) in scored and len(scored.keys() & expected.keys()) >= 2


def held_out(workdir: Path) -> dict[int, float]:
    """Held-out losses by step."""
    return {row["step"]: row["heldout_loss"] for row in metrics(workdir) if row["heldout_loss"] is not None}


def flip_a_bit(checkpoint: Path) -> None:
    largest = max((f for f in checkpoint.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 4
    largest.write_bytes(data)


def test_a_damaged_newest_checkpoint_costs_one_interval(
    text: Path, whole: tuple[Path, commands.Done], copy: Path
) -> None:
    """And lines of the log after the restored step are dropped; `test_checkpoint` has every kind of damage."""
    older, newest = checkpoints(copy)
    flip_a_bit(copy / "checkpoints" / str(newest))
    assert metrics(copy)[-1]["step"] > older
    with open(copy / "metrics.jsonl", "a") as f:
        f.write(json.dumps({"step": newest + 8, "loss": -1.0}) + "\n" + '{"step": 9')
    done = train(text, copy, checkpoint__every_steps=32)
    assert done.status == 0
    warnings = [line for line in done.err.splitlines() if "warning" in line]
    assert len(warnings) == 1 and f"checkpoint {newest} in" in warnings[0], done.err
    assert f"continuing at step {older} of" in done.err and "threads" not in done.err and "kernel" not in done.err
    same_end(copy, whole[0])
    rows = metrics(copy)
    assert all(row["loss"] > 0 for row in rows)
    assert [r["step"] for r in rows] == sorted({r["step"] for r in rows})


def test_without_an_intact_checkpoint_the_run_starts_again(
    text: Path, whole: tuple[Path, commands.Done], copy: Path
) -> None:
    """What is left of the checkpoints is kept beside them, and the end is that of a run that nothing harmed."""
    kept = checkpoints(copy)
    flip_a_bit(copy / "checkpoints" / str(kept[1]))
    shutil.rmtree(copy / "checkpoints" / str(kept[0]) / "state")
    done = train(text, copy, checkpoint__every_steps=32)
    assert done.status == 0, done.err
    warnings = [line for line in done.err.splitlines() if "warning" in line]
    assert len(warnings) == 2 and f"checkpoint {kept[1]} in" in warnings[0], done.err
    assert f"checkpoint {kept[0]} in" in warnings[1] and "is damaged (" in warnings[1]
    assert warnings[1].endswith(f"all are moved to {copy / 'checkpoints.damaged'}, and the run starts again")
    assert sorted(int(f.name) for f in (copy / "checkpoints.damaged").iterdir()) == kept
    same_end(copy, whole[0])
    assert [row["step"] for row in metrics(copy)] == [row["step"] for row in metrics(whole[0])]


def test_checkpoints_deleted_under_a_run_do_not_block_it(
    text: Path, whole: tuple[Path, commands.Done], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, 12, lambda: shutil.rmtree(workdir / "checkpoints", ignore_errors=True))
        done = train(text, workdir, checkpoint__every_steps=16)
    if done.status:  # a write was under way, or saw that its folder was gone
        refused(done, "checkpoints", "removed while it was written; run the same command again", alone=False)
    assert train(text, workdir, checkpoint__every_steps=16).status == 0
    same_end(workdir, whole[0])


def test_other_text_under_the_same_config_is_refused(text: Path, stopped: Path, tmp_path: Path) -> None:
    """Whether or not a checkpoint is intact."""
    own = tmp_path / "text.txt"
    own.write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        kill_self(patch, 3, signal.SIGTERM)
        train(own, tmp_path / "run")
    own.write_text(commands.text_of(900, seed=1))
    refused(train(own, tmp_path / "run"), "trained on another corpus", "--workdir=", alone=False)
    (step,) = checkpoints(tmp_path / "run")
    flip_a_bit(tmp_path / "run" / "checkpoints" / str(step))
    refused(train(own, tmp_path / "run"), "trained on another corpus", "--workdir=", alone=False)
    assert checkpoints(tmp_path / "run") == [step]


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


def test_continued_on_fewer_devices(text: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    size: dict[str, Any] = {"train__batch_size": 256, "model__segment": 32}
    with pytest.MonkeyPatch.context() as patch:
        kill_self(patch, 3, signal.SIGTERM)
        assert train(text, workdir, mesh__data=8, **size).status == 143
    (reached,) = checkpoints(workdir)
    done = train(text, workdir, mesh__data=1, **size)
    assert done.status == 0 and f"continuing at step {reached} of" in done.err, done.err
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


def test_bad_input_leaves_no_folder(tmp_path: Path) -> None:
    refused(train(tmp_path / "none.txt", tmp_path / "run"), "no such file or folder")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_another_command_trains_in_keeps_its_config(text: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    workdir.mkdir()
    with open(workdir / ".lock", "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(train(text, workdir), "another process trains in it", alone=False)
    assert not (workdir / "config.json").exists()


def test_of_two_commands_that_open_a_folder_the_first_to_claim_it_stays(tmp_path: Path) -> None:
    first = Config("word2vec", Word2VecConfig())
    with folder.opened(tmp_path, first, 1, 1.0):
        pass
    before = (tmp_path / "config.json").read_text()
    second = dataclasses.replace(first, train=TrainConfig(seed=1))
    with pytest.raises(UserError, match=r"differs in train\.seed"), folder.claimed(tmp_path, second):
        raise AssertionError("claimed")
    assert (tmp_path / "config.json").read_text() == before
