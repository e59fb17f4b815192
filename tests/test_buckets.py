"""Paths that begin with gs://, objects and claims, against an emulator of the service."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests import commands
from tests.buckets import Troubled
from tests.commands import refused, run
from w2v_jax import lease as leases
from w2v_jax import storage
from w2v_jax.errors import UserError
from w2v_jax.lease import Lease

pytestmark = pytest.mark.xdist_group("buckets cache")  # one worker: one emulator

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
