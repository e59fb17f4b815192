"""What the sections of a report are made of."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from w2v_jax.scaling.analysis import Floor, Laws
from w2v_jax.scaling.left_out import LeftOut, left_out
from w2v_jax.scaling.records import Record
from w2v_jax.scaling.study import Study


class Found(NamedTuple):
    """The runs of a study and their laws."""

    study: Study
    made: list[Record]
    usable: list[Record]
    laws: list[Laws]
    floors: list[Floor]
    folder: Path  # of the figures
    small: str  # print below each picture

    def of(self, arm: str) -> list[Record]:
        """The usable runs of an arm."""
        return [r for r in self.usable if r.arm == arm]

    def left_out(self, arm: str) -> LeftOut:
        """The runs of an arm that no law is fitted to."""
        return left_out([r for r in self.made if r.arm == arm])
