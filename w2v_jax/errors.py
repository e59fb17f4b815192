"""What ends a command: input that the user can mend, a signal, a loss that diverged. `experiments.common.cli` prints
each as one line and chooses the exit status."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The message is one line naming the file, key or value, and what to do about it."""


class Interrupted(Exception):
    """Signal `number` ended training. `step` is the step that was saved; None: the loss had diverged, and a state that
    diverged is not saved."""

    def __init__(self, step: int | None, number: int) -> None:
        where = "while its loss was not finite" if step is None else f"at step {step:,}, which is saved"
        super().__init__(f"stopped by {signal.Signals(number).name} {where}")
        self.step, self.number = step, number


class Diverged(Exception):
    """The loss is not finite. The message names the step, the last good checkpoint and what to try."""

    number = 0  # of the signal that came meanwhile


def nearest(name: str, known: Iterable[str]) -> str:
    """`" (did you mean 'dim'?)"` for the known name closest to `name`, or an empty string when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
