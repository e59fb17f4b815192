"""Which checkpoints of a run are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class NewestAndBest:
    """Orbax preservation policy: the newest `keep`, the lowest loss, and the step `pinned`.

    Orbax's own ranking reads one more file, and if that is damaged, the folder does not open.
    """

    def __init__(self, keep: int, losses: Mapping[int, float], pinned: int | None = None) -> None:
        self._keep, self._losses, self._pinned = keep, losses, pinned

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        steps = sorted(info.step for info in checkpoints)
        stay = {
            *steps[-self._keep :],
            lowest([step for step in steps if step in self._losses], self._losses),
            self._pinned,
        }
        return [info.step in stay for info in checkpoints]


def lowest(steps: Sequence[int], losses: Mapping[int, float]) -> int | None:
    """The step of the lowest loss; None without any."""
    return min(steps, key=lambda step: losses[step], default=None)
