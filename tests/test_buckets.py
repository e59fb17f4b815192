"""Buckets: paths that begin with gs:// hold what local paths hold, bit for bit, against an emulator of the service."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests import commands
from tests.buckets import Troubled
from tests.commands import checkpoints, final_arrays, metrics, refused, run, start, train, training, vectors
from w2v_jax import lease as leases
from w2v_jax import storage
from w2v_jax.config import DataConfig
from w2v_jax.data import corpus as corpora
from w2v_jax.data import shared
from w2v_jax.data.corpus import build_corpus
from w2v_jax.errors import UserError
from w2v_jax.lease import Lease
from w2v_jax.train import appended

# A line of the log with every save: the lines before one that is due soon are joined to it.
KEPT = {"log__tensorboard": True, "log__every_steps": 16, "checkpoint__every_steps": 32}
pytestmark = pytest.mark.xdist_group("buckets")  # one worker: one emulator


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(commands.text_of(300))
    return path


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


# ---- paths ----


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("gs:/bucket/run", "two slashes"),
        ("gs:bucket", "two slashes"),
        ("gs://", "name of a bucket"),
        ("gs://Upper/run", "name of a bucket"),
        ("gs://ab/run", "name of a bucket"),
        ("gs://a b/run", "name of a bucket"),
        ("gs://$(id)/run", "name of a bucket"),
        ("gs://bucket/../run", "name of an object"),
        ("gs://bucket/a\nb", "name of an object"),
        ("gs://bucket/" + "x" * 1025, "name of an object"),
        ("s3://bucket/run", "only gs://"),
        ("file:///tmp/run", "only gs://"),
    ],
)
def test_malformed_addresses_are_refused(name: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=part):
        storage.to_path(name)
    monkeypatch.chdir(tmp_path)
    refused(run("experiments.train", f"--config={commands.ROOT / 'configs/demo.py'}", f"--workdir={name}"), part)
    assert list(tmp_path.iterdir()) == []


def test_objects_are_whole_and_listed_as_they_are_now(bucket: str) -> None:
    file = storage.to_path(f"{bucket}/a/b.txt")
    assert not file.exists() and not file.parent.is_dir()
    storage.write_bytes(file, b"one")
    first = storage.stat(file)
    storage.write_bytes(f"{bucket}/a/.hidden", b"")
    storage.write_bytes(file, b"two")
    assert file.read_bytes() == b"two" and file.parent.is_dir() and file.is_file()
    assert storage.stat(file).st_ctime_ns > first.st_ctime_ns
    assert storage.listing(f"{bucket}/a") == storage.listing(f"{bucket}/*/b*") == [str(file)]
    copy = storage.local_copy(file)
    assert Path(copy).read_bytes() == b"two" and storage.local_copy(file) == copy
    storage.write_bytes(file, b"three")
    assert Path(storage.local_copy(file)).read_bytes() == b"three"
    storage.remove_tree(file.parent)
    assert not file.exists()
    with pytest.raises(FileNotFoundError, match="no such bucket or object"):
        storage.read_bytes(file)


def test_a_write_of_another_generation_is_refused(bucket: str, server: Troubled) -> None:
    name = f"{bucket}/claim"
    first = storage.write_if(name, b"a", 0)
    for generation in (0, first - 1):
        with pytest.raises(FileExistsError):
            storage.write_if(name, b"b", generation)
    second = storage.write_if(name, b"c", first)
    assert second > first and storage.read_bytes(name) == b"c"
    # The answer to a write that succeeded is lost: the library tries again, and is not told that another was faster.
    lost = [503]
    server.answer = lambda method, path: lost.pop() if lost and "generation" not in path.lower() else None
    assert storage.write_if(name, b"c", first) == second


def test_an_error_is_not_read_as_absence(bucket: str, server: Troubled) -> None:
    file = storage.to_path(f"{bucket}/run/config.json")
    storage.write_bytes(file, b"{}")
    server.answer = lambda method, path: 403
    for ask in (file.exists, file.is_file, file.parent.is_dir, file.read_bytes):
        with pytest.raises(PermissionError, match="roles/storage"):
            ask()


# ---- claims ----


def test_of_two_claims_one_holds(bucket: str) -> None:
    said: list[str] = []
    first, second = (Lease(f"{bucket}/.lock", seconds=0.6) for _ in range(2))
    assert first.acquire(said.append)
    assert not second.acquire(said.append) and "claimed by process" in said[0]
    first.release()
    assert second.acquire(said.append) and len(said) == 1  # at once
    second.release()


def test_a_claim_whose_owner_is_dead_is_taken_over(bucket: str) -> None:
    said: list[str] = []
    dead = Lease(f"{bucket}/.lock", seconds=0.6)
    for change, waits in (({"pid": 2**22 + 1}, 0), ({"host": "elsewhere"}, 1)):
        dead._me |= change
        generation = storage.stat(dead.address).st_ctime_ns if waits else 0
        storage.write_if(dead.address, json.dumps(dead._me).encode(), generation)
        heir = Lease(dead.address, seconds=0.6)
        assert heir.acquire(said.append) and len(said) == waits
        heir._ended.set()  # it dies: nothing is released


def test_an_owner_that_another_replaced_ends(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(leases.os, "_exit", lambda status: ended.set())
    owner = Lease(f"{bucket}/.lock", seconds=0.3)
    assert owner.acquire(print)
    for _ in range(20):  # it may renew between the two requests
        try:
            storage.write_if(owner.address, b"{}", storage.stat(owner.address).st_ctime_ns)
            break
        except FileExistsError:
            continue
    assert ended.wait(10)
    owner._ended.set()


# ---- runs ----


def test_a_run_in_a_bucket_is_that_on_a_disk(text: Path, local: Path, bucket: str) -> None:
    remote = storage.to_path(f"{bucket}/run")
    done = train(text, remote, **KEPT)
    assert done.status == 0, done.err
    same(local, remote)
    again = train(text, remote, **KEPT)
    assert "holds this run, finished" in again.err and again.result()["loss"] == done.result()["loss"]
    other = train(text, remote, **KEPT, train__seed=5)
    refused(other, "config differs in train.seed")
    (mine,), (theirs,) = (list((workdir / "tensorboard").iterdir()) for workdir in (remote, local))
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
    remote = storage.to_path(f"{bucket}/run")

    def slow(method: str, path: str) -> None:
        if method == "POST" and re.search("checkpoints(%2F|/)32", path):
            time.sleep(0.2)

    server.answer = slow
    process = start("-m", "experiments.train", *training(text, remote, **KEPT), devices=8)
    until = time.monotonic() + 90
    while not any("/32/" in f for f in storage.listing(remote)) and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    server.answer = lambda method, path: None
    left = [f for f in storage.listing(f"{remote}/checkpoints") if "/32/" in f]
    assert left and not any(f.endswith("/32/commit_success.txt") for f in left)
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


# ---- text ----


def test_text_in_a_bucket_is_the_same_corpus(text: Path, bucket: str, tmp_path: Path) -> None:
    for name, folder in (("a.txt.gz", "one"), ("b.txt", "one")):
        (tmp_path / folder).mkdir(exist_ok=True)
        data = text.read_bytes()
        (tmp_path / folder / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith("gz") else data)
        storage.put(tmp_path / folder / name, f"{bucket}/one/{name}")
    found = [
        build_corpus(DataConfig(source=f"text:{where}/*.txt*", cache_dir=str(tmp_path / cache), min_count=2))
        for where, cache in ((tmp_path / "one", "cache 1"), (f"{bucket}/one", "cache 2"))
    ]
    assert found[0].digest == found[1].digest and found[0].report == found[1].report
    with pytest.raises(UserError, match="matches no file"):
        build_corpus(DataConfig(source=f"text:{bucket}/none/*.txt", cache_dir=str(tmp_path)))


# ---- the cache ----


def elsewhere(patch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """From now on this is another machine, without a cache of its own; the list gets a line for each text it reads."""
    patch.setenv("W2V_JAX_CACHE", str(folder))
    read: list[str] = []
    count = corpora.count

    def counted(*arguments: Any) -> Any:
        read.append(str(folder))
        return count(*arguments)

    patch.setattr(corpora, "count", counted)
    return read


def test_a_cache_in_a_bucket_is_built_once_and_fetched(text: Path, bucket: str, tmp_path: Path) -> None:
    storage.put(text, f"{bucket}/text.txt")
    cfg = DataConfig(source=f"text:{bucket}/text.txt", cache_dir=f"{bucket}/cache", min_count=2)
    found, said = [], list[str]()
    for machine in ("one", "two", "three"):
        with pytest.MonkeyPatch.context() as patch:
            read = elsewhere(patch, tmp_path / machine)
            found.append(build_corpus(cfg, said.append))
            assert len(read) == (machine == "one")
        assert found[-1].directory.is_relative_to(tmp_path / machine)
    assert len({c.digest for c in found}) == 1 and sum("fetches" in line for line in said) == 2
    plain = build_corpus(dataclasses.replace(cfg, cache_dir=str(tmp_path / "plain")))
    assert [f.read_bytes() for f in sorted(plain.directory.iterdir())] == [
        f.read_bytes() for f in sorted(found[1].directory.iterdir())
    ]


def test_a_damaged_cache_in_a_bucket_is_built_again(text: Path, bucket: str, tmp_path: Path) -> None:
    cfg = DataConfig(source=f"text:{text}", cache_dir=f"{bucket}/cache", min_count=2)
    said: list[str] = []
    for machine in ("one", "two", "three"):
        with pytest.MonkeyPatch.context() as patch:
            read = elsewhere(patch, tmp_path / machine)
            tokens = f"{bucket}/cache/{build_corpus(cfg, said.append).directory.name}/train.tokens"
            assert len(read) == (machine != "three")
        if machine == "one":
            data = bytearray(storage.read_bytes(tokens))
            data[7] ^= 1
            storage.write_bytes(tokens, bytes(data))
            assert not said.clear()
    assert sum("train.tokens: does not match its digest" in line for line in said) == 1


@pytest.mark.parametrize("ends", ["done", "released"])
def test_a_machine_waits_for_the_one_that_builds(ends: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 0.6)
    monkeypatch.setattr(shared, "_LOOK_S", 0.05)
    builder, done, said = Lease(f"{bucket}/corpus.lock"), threading.Event(), list[str]()
    assert builder.acquire(print)

    def wait() -> bool:
        with shared._claimed(builder.address, done.is_set, said.append):
            return builder._ended.is_set() or done.is_set()

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(wait)
        while not said:
            time.sleep(0.02)
        assert "another machine reads the same text" in said[0] and not waiting.done()
        builder.release() if ends == "released" else done.set()
        assert waiting.result(20)
    builder.release()


def test_a_process_waits_for_the_one_that_builds_on_its_machine(tmp_path: Path) -> None:
    note, inside, go_on, said = tmp_path / "note.json", threading.Event(), threading.Event(), list[str]()

    def build() -> float:
        with shared.building_alone("", note, lambda: False, said.append):
            inside.set()
            assert go_on.wait(20)
            return time.monotonic()

    with ThreadPoolExecutor() as pool:
        first = pool.submit(build)
        assert inside.wait(20)
        second = pool.submit(build)
        while not said:
            time.sleep(0.02)
        go_on.set()
        assert "another process" in said[0] and second.result(20) > first.result(20)
