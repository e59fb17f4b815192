"""A claim on something in a bucket, which has no locks: an object that its owner keeps renewing.

Each write names the generation that it replaces, so that of two processes one alone succeeds. An owner that has not
renewed its claim for `LEASE_S` is taken for dead, and so is one of this machine whose process has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from w2v_jax import storage
from w2v_jax.errors import UserError

LEASE_S = 60.0


def _beginning(pid: int) -> str | None:
    """When a process of this machine began, in ticks since its start; None: it has ended, or that cannot be told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


class Lease:
    """A claim on the object at `address`, renewed by a thread until `release`."""

    def __init__(self, address: str, seconds: float | None = None) -> None:
        self.address, self._seconds = address, LEASE_S if seconds is None else seconds
        pid = os.getpid()
        self._me = {"owner": uuid.uuid4().hex, "host": socket.gethostname(), "boot": _boot(), "pid": pid}
        self._me["began"] = _beginning(pid)
        self._generation, self._count = 0, 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, say: Callable[[str], object]) -> bool:
        """Takes the claim; False: its owner is alive. `say` takes a line where that takes time to find out. OSError."""
        try:
            self._write(0)
        except FileExistsError:
            found = self._free(say)
            if found is None:
                return False
            try:
                self._write(found)
            except FileExistsError:  # another process found it free at the same time
                return False
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()
        return True

    def release(self) -> None:
        """Gives the claim back: the next process need not wait."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            with contextlib.suppress(OSError):
                self._write(self._generation, free=True)

    def _write(self, generation: int, free: bool = False) -> None:
        self._count += 1  # other bytes each time, so that an answer that was lost can be told from another's write
        data = json.dumps(self._me | {"free": free, "count": self._count}).encode()
        self._generation = storage.write_if(self.address, data, generation)

    def _free(self, say: Callable[[str], object]) -> int | None:
        """The generation of a claim that nobody holds any more; None: it is held."""
        generation, owner = self._read()
        if owner.get("free") or self._is_dead(owner):
            return generation
        host, pid = owner.get("host", "?"), owner.get("pid", "?")
        say(f"{self.address}: claimed by process {pid} of {host}; waits {self._seconds:.0f} s to see if it is alive")
        until = time.monotonic() + self._seconds
        while time.monotonic() < until:
            time.sleep(min(self._seconds / 12, 5))
            now, owner = self._read()
            if owner.get("free"):
                return now
            if now != generation:
                return None
        return generation

    def _read(self) -> tuple[int, dict[str, Any]]:
        with contextlib.suppress(ValueError, OSError):
            generation = storage.stat(self.address).st_ctime_ns
            owner = json.loads(storage.read_bytes(self.address))
            if isinstance(owner, dict):
                return generation, owner
        return storage.stat(self.address).st_ctime_ns, {}

    def _is_dead(self, owner: dict[str, Any]) -> bool:
        """Whether the owner is a process of this machine that has ended."""
        here = owner.get("host") == self._me["host"] and owner.get("boot") == self._me["boot"] != ""
        return here and isinstance(owner.get("pid"), int) and _beginning(owner["pid"]) != owner.get("began")

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 3):
            try:
                self._write(self._generation)
            except FileExistsError:
                # This process was stopped, or out of reach, for so long that another took over: two would mix their
                # files.
                print(
                    f"error: {self.address}: another process has taken over; this one ends", file=sys.stderr, flush=True
                )
                os._exit(2)
            except OSError as e:
                print(f"warning: {self.address}: the claim could not be renewed ({e.strerror})", file=sys.stderr)


def held(address: str, problem: str, say: Callable[[str], object]) -> Lease:
    """A claim that is held now. UserError with `problem`: another process holds it."""
    lease = Lease(address)
    if not lease.acquire(say):
        raise UserError(problem)
    return lease
