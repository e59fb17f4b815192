"""How training ends before its last step: by a signal, or because the loss diverged."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Interrupted(Exception):
    """A signal ended training after it saved. `step` says where, `number` which signal; no step: it diverged first."""

    def __init__(self, step: int | None, number: int) -> None:
        where = "while its loss was not finite" if step is None else f"at step {step:,}, which is saved"
        super().__init__(f"stopped by {signal.Signals(number).name} {where}")
        self.step, self.number = step, number


class Diverged(Exception):
    """The loss is not finite. The message names the step, the last good checkpoint and what to try."""

    number = 0  # of the signal that came meanwhile


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Collects SIGTERM and SIGINT instead of dying of them; a second one of a kind acts as usual."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.signal(number, before[number])

    before: dict[int, Any] = {n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    except Diverged as e:
        e.number = seen[0] if seen else 0
        raise
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
