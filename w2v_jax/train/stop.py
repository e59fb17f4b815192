"""Signals that end training at a call boundary, after a save."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

from w2v_jax.errors import Diverged

noted: list[int] = []  # signals that `signals` has collected since the command began
early: list[int] = []  # signals before training that have not ended the process: a library may swallow what they raise


def came() -> bool:
    """Whether this command has had a signal."""
    return bool(early or noted)


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Collects SIGTERM, SIGINT and SIGHUP (a terminal that closes; not under nohup) instead of ending the process; a
    second one of a kind acts as usual.

    One that came `early`, and was swallowed by a library, counts too.
    """
    seen: list[int] = [*early]

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        noted.append(number)
        signal.signal(number, before[number])

    numbers = [n for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before: dict[int, Any] = {n: signal.signal(n, note) for n in numbers}
    try:
        yield seen
    except Diverged as e:
        e.number = seen[0] if seen else 0
        raise
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
