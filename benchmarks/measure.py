"""Runs one command as a fresh process and measures it; keeps results so that an interrupted benchmark continues."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.files import write_json

_POLL = 0.05  # seconds between two looks at a process


@dataclasses.dataclass(frozen=True)
class Finished:
    """A process that ended with status 0."""

    result: dict[str, Any]  # last line of its standard output, parsed
    stderr: str
    seconds: float  # wall time, start of the interpreter included
    peak_mb: float  # largest resident memory, MiB


def run(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Finished:
    """Runs a command whose last line of standard output is a JSON object.

    Args:
      command: program and arguments.
      log: gets its standard error.
      env: added to this process's environment; an empty value removes the variable.

    Raises:
      UserError: it failed; names the log.
    """
    full = {**os.environ, **(env or {})}
    full = {k: v for k, v in full.items() if v or k not in (env or {})}
    log.parent.mkdir(parents=True, exist_ok=True)
    out = log.with_suffix(".out")
    start, peak = time.perf_counter(), 0.0
    with open(log, "wb") as err, open(out, "wb") as stdout:
        process = subprocess.Popen(command, stdout=stdout, stderr=err, env=full)
        try:
            while process.poll() is None:
                peak = max(peak, _high_water(process.pid))
                time.sleep(_POLL)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    seconds = time.perf_counter() - start
    if not peak:  # no /proc: the largest of all children so far, which may be an earlier one
        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    stderr = log.read_text(errors="replace")
    lines = out.read_text(errors="replace").strip().splitlines()
    out.unlink()
    if process.returncode:
        last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(
            f"{' '.join(command[:4])} ... ended with status {process.returncode}: {last} (all of it: {log})"
        )
    try:
        return Finished(json.loads(lines[-1]), stderr, seconds, peak)
    except (IndexError, ValueError):
        raise UserError(f"{' '.join(command[:4])} ... printed no JSON result (its messages: {log})") from None


def add_run(record: dict[str, Any], command: Sequence[str], out: Path) -> None:
    """Runs a command, adds its result and its peak memory to the record's runs, and writes the record. As `run`."""
    done = run(command, Path(tempfile.mkdtemp(prefix="w2v_jax_"), "run.log"))
    record["runs"].append({**done.result, "peak_mb": done.peak_mb})
    write_json(out, record, indent=1)


def _high_water(pid: int) -> float:
    """Peak resident memory of a process so far in MiB, 0 where unknown.

    Not wait4's ru_maxrss: that starts from the parent's own peak at the fork.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def use_cores(count: int) -> None:
    """Confines this process and those it starts to `count` cores, where the system can. UserError: it has fewer."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < count:
        raise UserError(f"--cores={count}: this process may use {len(cores)}")
    os.sched_setaffinity(0, cores[:count])


class Store:
    """Results, one JSON object a line, found again by the values of their 'key'."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: list[dict[str, Any]] = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    self._records.append(json.loads(line))
                except ValueError:
                    continue  # a line that was being written when the benchmark was stopped

    def find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The newest record with this key."""
        return next((r for r in reversed(self._records) if r["key"] == dict(key)), None)

    def add(self, key: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """Appends a record; a half-written last line of an earlier run is ended first."""
        record = {"key": dict(key), **values}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        broken = self._path.exists() and not self._path.read_bytes().endswith(b"\n") and self._path.stat().st_size
        with open(self._path, "a", encoding="utf-8") as f:
            f.write(("\n" if broken else "") + json.dumps(record) + "\n")
        self._records.append(record)
        return record
