"""Ends the processes of a run whose launcher has gone without ending them, as after SIGKILL.

    python warden.py SECONDS

Standard input has a line `+PID` for each process group that starts and `-PID` for each that has ended. At its end all
groups that are left get SIGTERM, so that a run can stop with a checkpoint, and after SECONDS seconds SIGKILL. Only the
standard library is imported: it starts in no time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable


def left(lines: Iterable[str]) -> set[int]:
    """The process groups that have started and not ended, once `lines` are over."""
    groups: set[int] = set()
    for line in lines:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    return groups


def _send(groups: Iterable[int], number: int) -> set[int]:
    """Sends a signal (0: none) to process groups; returns those that are there."""
    there = set()
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
            there.add(group)
    return there


def end(groups: set[int], seconds: float) -> None:
    """SIGTERM, then `seconds` later SIGKILL for those that are left."""
    groups, deadline = _send(groups, signal.SIGTERM), time.monotonic() + seconds
    while groups and time.monotonic() < deadline:
        time.sleep(0.1)
        groups = _send(groups, 0)
    _send(groups, signal.SIGKILL)


if __name__ == "__main__":
    end(left(sys.stdin), float(sys.argv[1]))
