"""The processes that make something together, and how they speak: objects in a folder of the shared cache."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from w2v_jax import storage
from w2v_jax.errors import UserError
from w2v_jax.types import Say

_TELL_S, _STALE_S = 60.0, 86_400.0


@dataclasses.dataclass(frozen=True)
class Crew:
    """The processes of a run, seen from one of them."""

    index: int
    count: int
    gather: Callable[[int], list[int]]  # the numbers (32 bits) of all processes in order; all must call it


_crew: ContextVar[Crew | None] = ContextVar("crew", default=None)


@contextlib.contextmanager
def together(crew: Crew | None) -> Iterator[None]:
    """Within it corpora are made by all processes of the crew, which ask for them in the same order."""
    before = _crew.set(crew)
    try:
        yield
    finally:
        _crew.reset(before)


def crew() -> Crew | None:
    """That of `together`; None: this process makes corpora for itself."""
    return _crew.get()


def shares(cache_dir: str, root: Path, crew: Crew) -> bool:
    """Whether all processes of a crew see one cache: it is in a bucket, or they are of one machine."""
    if storage.in_bucket(cache_dir):
        return True
    boot = Path("/proc/sys/kernel/random/boot_id")
    here = f"{socket.gethostname()} {boot.read_text() if boot.exists() else ''} {os.stat(root).st_ino}"
    return len(set(crew.gather(zlib.crc32(here.encode()) >> 1))) == 1


def fresh(cache_dir: str, root: Path, crew: Crew) -> str:
    """A folder in the cache for one meeting, of which no process has heard before. In a bucket those that killed runs
    have left a day ago are removed; on a disk `cache.building` does it. OSError."""
    began, number = (crew.gather(n)[0] for n in (int(time.time()) % 2**31, secrets.randbelow(2**31)))
    if not storage.in_bucket(cache_dir):
        return str(root / f"building-{began}-{number}")
    cache = cache_dir.rstrip("/")
    if crew.index == 0:
        left = {name.removeprefix(f"{cache}/").split("/")[0] for name in storage.listing(f"{cache}/building-*")}
        for old in left:
            if began - int(old.split("-")[1]) > _STALE_S:
                storage.remove_tree(f"{cache}/{old}")
    return f"{cache}/building-{began}-{number}"


class Meeting:
    """A folder on a disk or in a bucket through which a crew speaks."""

    def __init__(self, crew: Crew, folder: str, say: Say) -> None:
        self.crew, self.folder, self.say = crew, folder, say
        self.look_s = 1.0 if storage.in_bucket(folder) else 0.05

    def put(self, name: str, data: bytes) -> None:
        """Tells something. OSError."""
        if storage.in_bucket(self.folder):
            storage.write_bytes(f"{self.folder}/{name}", data)
            return
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{name}.part"
        part.write_bytes(data)
        part.replace(folder / name)

    def put_file(self, file: Path, name: str) -> None:
        """Hands a file over. OSError."""
        if storage.in_bucket(self.folder):
            storage.put(file, f"{self.folder}/{name}")
        else:
            shutil.move(file, Path(self.folder) / name)

    def get(self, name: str) -> bytes:
        """What was told under a name, as soon as it is there. UserError: a process has failed. OSError."""
        since = time.monotonic()
        while True:
            with contextlib.suppress(FileNotFoundError):
                return storage.read_bytes(f"{self.folder}/{name}")
            for other in range(self.crew.count):
                with contextlib.suppress(FileNotFoundError):
                    said = storage.read_bytes(f"{self.folder}/failed-{other}").decode()
                    raise UserError(f"process {other}: {said}")
            if time.monotonic() - since > _TELL_S:
                since = time.monotonic()
                self.say(f"corpus: waiting for {name} of another process")
            time.sleep(self.look_s)

    @contextlib.contextmanager
    def told_of_failure(self) -> Iterator[None]:
        """Within it an error of this process ends the waiting of the others, too."""
        try:
            yield
        except (UserError, OSError) as e:
            with contextlib.suppress(OSError):
                self.put(f"failed-{self.crew.index}", str(e).encode())
            raise

    def end(self) -> None:
        """Waits for all, and removes the folder."""
        self.crew.gather(0)
        if self.crew.index == 0:
            storage.remove_tree(self.folder)

    def all(self, what: str, mine: Any) -> list[Any]:
        """What every process tells, values that JSON has, in order."""
        self.put(f"{what}-{self.crew.index}", json.dumps(mine).encode())
        return [json.loads(self.get(f"{what}-{other}")) for other in range(self.crew.count)]
