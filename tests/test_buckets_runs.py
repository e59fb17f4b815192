"""Runs in a bucket: what is in it is what a local folder has, bit for bit, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests import commands
from tests.buckets import Troubled
from tests.buckets import text as text  # a fixture
from tests.commands import checkpoints, final_arrays, metrics, refused, run, start, train, training, vectors
from w2v_jax import storage
from w2v_jax.train import appended

# A line of the log with every save: the lines before one that is due soon are joined to it.
KEPT = {"log__tensorboard": True, "log__every_steps": 16, "checkpoint__every_steps": 64}
pytestmark = pytest.mark.xdist_group("buckets")  # one worker: one emulator, and one run on a disk


@pytest.fixture(scope="module")
def local(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run on a disk that those in the bucket are compared with."""
    workdir = tmp_path_factory.mktemp("local") / "run"
    assert train(text, workdir, **KEPT).status == 0
    return workdir


def same(local: Path, remote: Path) -> None:
    """Parameters, vectors and log of two runs are equal to the last bit."""
    assert final_arrays(remote) == final_arrays(local) and vectors(remote) == vectors(local)
    timed = ("words_per_second", "data_wait", "seconds")
    rows = [[{k: v for k, v in row.items() if k not in timed} for row in metrics(w)] for w in (local, remote)]
    assert rows[0] == rows[1]


def test_a_run_in_a_bucket_is_that_on_a_disk(text: Path, local: Path, bucket: str) -> None:
    remote = storage.to_path(f"{bucket}/run")
    done = train(text, remote, **KEPT)
    assert done.status == 0, done.err
    same(local, remote)
    again = train(text, remote, **KEPT)
    assert "holds this run, finished" in again.err and again.result()["loss"] == done.result()["loss"]
    other = train(text, remote, **KEPT, train__seed=5)
    refused(other, "config differs in train.seed")
    # Beside the events a run on a disk has what the projector shows.
    listed = ((workdir / "tensorboard").iterdir() for workdir in (remote, local))
    (mine,), (theirs,) = ([file for file in files if file.name.startswith("events.")] for files in listed)
    steps = [[e.step for e in EventFileLoader(storage.local_copy(file)).Load()] for file in (mine, theirs)]
    assert steps[0] == steps[1] and len(steps[0]) > 3
    for arguments in (
        ("experiments.evaluate", f"--workdir={remote}"),
        ("experiments.evaluate", f"--vectors={remote}/vectors.bin", f"--json={bucket}/other/scores.json"),
        ("experiments.neighbours", f"--vectors={remote}/vectors.bin", "aab"),
        ("experiments.figures", "convergence", f"--workdir={remote}", f"--out={bucket}/pictures/a.png"),
    ):
        assert (found := run(*arguments)).status == 0, found.err
    scores = [json.loads(storage.read_bytes(f)) for f in (f"{remote}/evaluation.json", f"{bucket}/other/scores.json")]
    assert scores[0] == scores[1]
    assert storage.read_bytes(f"{bucket}/pictures/a.png").startswith(b"\x89PNG")


def test_a_run_that_a_signal_stops_and_a_busy_server_continue_bit_for_bit(
    text: Path, local: Path, bucket: str, server: Troubled
) -> None:
    remote = storage.to_path(f"{bucket}/run")
    with pytest.MonkeyPatch.context() as patch:
        commands.at_call(patch, 21, lambda: os.kill(os.getpid(), signal.SIGTERM))
        stopped = train(text, remote, **KEPT)
    assert stopped.status == 143 and "which is saved" in stopped.err
    turn = iter(range(10**9))
    server.answer = lambda method, path: (503 if n % 2 else 429) if (n := next(turn)) % 80 == 0 else None
    done = train(text, remote, **KEPT)
    assert done.status == 0 and "continuing at step" in done.err, done.err
    server.answer = lambda method, path: None
    same(local, remote)


def test_a_process_that_is_killed_while_it_writes_a_checkpoint_continues_bit_for_bit(
    text: Path, local: Path, bucket: str, server: Troubled
) -> None:
    remote, begun = storage.to_path(f"{bucket}/run"), threading.Event()

    def slow(method: str, path: str) -> None:
        if method == "POST" and re.search("checkpoints(%2F|/)64", path):
            begun.set()
            time.sleep(0.2)

    server.answer = slow
    process = start("-m", "experiments.train", *training(text, remote, **KEPT), devices=8)
    until = time.monotonic() + 90
    begun.wait(90)
    while not any("/64/" in f for f in storage.listing(remote)) and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    server.answer = lambda method, path: None
    left = [f for f in storage.listing(f"{remote}/checkpoints") if "/64/" in f]
    assert left and not any(f.endswith("/64/commit_success.txt") for f in left)
    done = train(text, remote, **KEPT)
    assert done.status == 0 and checkpoints(remote)[-1] == checkpoints(local)[-1], done.err
    same(local, remote)


def test_what_was_logged_reaches_the_bucket_while_a_run_goes_on(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appended, "EVERY_S", 0.1)
    file = storage.to_path(f"{bucket}/metrics.jsonl")
    storage.write_bytes(file, b"old\n")
    grows = appended.appended(file)
    grows.write(b"new\n")
    until = time.monotonic() + 10
    while file.read_bytes() != b"old\nnew\n" and time.monotonic() < until:
        time.sleep(0.05)
    grows.write(b"last\n")
    grows.close()
    assert file.read_bytes() == b"old\nnew\nlast\n"


def test_a_log_that_the_server_refuses_is_told_and_sent_later(
    bucket: str, server: Troubled, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(appended, "EVERY_S", 0.05)
    file = storage.to_path(f"{bucket}/metrics.jsonl")
    server.answer = lambda method, path: 403
    grows = appended.Sent(file)
    grows.write(b"line\n")
    until = time.monotonic() + 10
    while "sent again later" not in (said := capsys.readouterr().err) and time.monotonic() < until:
        time.sleep(0.05)
    assert "permission denied" in said
    with pytest.raises(PermissionError):
        grows.sync()
    server.answer = lambda method, path: None
    grows.close()
    assert file.read_bytes() == b"line\n"


@pytest.mark.parametrize(("status", "part"), [(403, "permission denied"), (404, "no such bucket or object")])
def test_a_bucket_that_refuses_is_one_line(status: int, part: str, text: Path, bucket: str, server: Troubled) -> None:
    server.answer = lambda method, path: status
    refused(train(text, f"{bucket}/run"), part, "gs://")
    server.answer = lambda method, path: None
    assert not storage.to_path(f"{bucket}/run").exists()
