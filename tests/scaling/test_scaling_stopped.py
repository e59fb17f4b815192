"""`experiments.scaling` on a study of a few seconds: stopped, diverging, out of space or memory."""

from __future__ import annotations

import errno
import importlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Done, at_call, checkpoints, refused
from tests.scaling.small_study import TAME, WILD, copy_without, forget, losses, rows, scaling, undrawn
from w2v_jax.scaling import records
from w2v_jax.scaling.records import Record

pytestmark = pytest.mark.xdist_group("scaling")  # one worker: runs share their compiled programs


def test_stopped_and_continued_it_ends_as_in_one_go(
    study: Path, whole: tuple[Done, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal in the middle of the fourth run; the second go ends it and makes the fifth."""
    undrawn(monkeypatch)
    workdir = tmp_path / "parts"
    found = copy_without(whole[1], workdir, TAME[1], TAME[3])  # the largest, which come last
    with monkeypatch.context() as patch:
        at_call(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        stopped = scaling(study, workdir)
    assert stopped.status == 128 + signal.SIGTERM and "The same command continues" in stopped.err
    assert set(rows(workdir / "results.jsonl")) == {TAME[0], TAME[2], WILD}
    assert 0 < checkpoints(workdir / "runs" / TAME[1])[-1] < 40, "some of the steps of the fourth run are saved"
    resumed = scaling(study, workdir)
    assert resumed.status == 1 and resumed.err.count("--- run") == 2
    assert losses(rows(workdir / "results.jsonl")) == losses(found)


def test_a_write_that_fails_loses_nothing(
    study: Path, whole: tuple[Done, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    write, calls = records.write, [0]

    def full(path: Path, made: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, made)

    undrawn(monkeypatch)
    workdir = tmp_path / "runs"
    results = workdir / "results.jsonl"
    found = copy_without(whole[1], workdir, TAME[2])
    # A record that is lost after its run's checkpoints were cleaned away: the run is made again, and ends the same.
    forget(results, TAME[0])
    assert not (workdir / "runs" / TAME[0] / "checkpoints").exists()
    with monkeypatch.context() as patch:
        patch.setattr(records, "write", full)
        failed = scaling(study, workdir)
    refused(failed, "results.jsonl: no space is left", alone=False)
    assert failed.err.count("--- run") == 2 and set(rows(results)) == {*TAME, WILD} - {TAME[2]}
    again = scaling(study, workdir)  # the result of the second run was not written
    assert again.err.count("--- run") == 1 and losses(rows(results)) == losses(found)


def test_a_run_that_fails_of_memory_is_recorded_and_the_others_are_made(
    study: Path, whole: tuple[Done, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from w2v_jax.train import loop

    train = loop.train

    def scarce(config: Any, workdir: Path, *rest: Any, **more: Any) -> Any:
        if "dim6" in workdir.name:
            raise MemoryError("no memory for it")
        return train(config, workdir, *rest, **more)

    monkeypatch.setattr(loop, "train", scarce)
    dim6 = [name for name in TAME if "dim6" in name]
    expected = losses(copy_without(whole[1], tmp_path / "runs", *dim6, WILD))
    done = scaling(study, tmp_path / "runs")
    assert done.status == 1
    found = rows(tmp_path / "runs" / "results.jsonl")
    assert {name for name, row in found.items() if row["status"] == "failed"} == set(dim6)
    assert losses(found) == expected | dict.fromkeys(dim6) and found[WILD]["status"] == "diverged"
    assert "no memory for it" in done.out


def test_a_signal_while_a_run_diverges_stops_the_study(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from w2v_jax.train import loop

    def diverging(*args: Any, **more: Any) -> Any:
        error = loop.Diverged("not finite")
        error.number = signal.SIGTERM
        raise error

    monkeypatch.setattr(loop, "train", diverging)
    stopped = scaling(study, tmp_path / "runs")
    assert stopped.status == 128 + signal.SIGTERM and "The same command continues" in stopped.err
    assert not (tmp_path / "runs" / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("module", "name", "recorded"),
    [
        ("experiments.scaling.execute", "build_corpus", 0),  # reading the text
        ("w2v_jax.scaling.records", "write", 1),  # between two runs
        ("w2v_jax.scaling.analysis", "laws", 5),  # fitting
    ],
)
def test_a_signal_outside_training_stops_the_study_in_one_line(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, recorded: int
) -> None:
    from experiments.scaling import execute
    from w2v_jax.scaling.records import Record

    def unheard(*_: Any) -> None:
        raise AssertionError("the command left the signal to the process")

    def quick(planned: Any, *_: Any) -> Record:
        return Record(**execute.known(planned) | {"status": "finished", "heldout_loss": 3.0, "optimum": 2.0})

    (tmp_path / "runs").mkdir()  # as training does
    act = getattr(importlib.import_module(module), name)

    def stopping(*arguments: Any, **more: Any) -> Any:
        found = act(*arguments, **more)
        os.kill(os.getpid(), signal.SIGTERM)
        return found

    before = signal.signal(signal.SIGTERM, unheard)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(execute, "execute", quick)
            patch.setattr(importlib.import_module(module), name, stopping)
            stopped = scaling(study, tmp_path / "runs")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.status == 128 + signal.SIGTERM
    assert "SIGTERM. The same command continues" in stopped.err.splitlines()[-1] and "Traceback" not in stopped.err
    results = tmp_path / "runs" / "results.jsonl"
    assert (len(rows(results)) if results.exists() else 0) == recorded
    assert not (tmp_path / "runs" / "report.html").exists()
