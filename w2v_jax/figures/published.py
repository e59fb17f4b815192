"""Published numbers beside ours: where each stands, whether it was checked there, and what a tolerance says of ours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from w2v_jax.papers import NUMBERS, PAPERS


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """What a number of ours may be, ends included, in the unit of the published one.

    Raises:
      ValueError: no number is allowed, or `why` is empty.
    """

    why: str  # where the ends come from
    lowest: float = -math.inf
    highest: float = math.inf

    def __post_init__(self) -> None:
        if not (self.lowest <= self.highest and self.why):
            raise ValueError(f"{self}: needs a reason, and ends that allow something")

    def miss(self, ours: float) -> float:
        """How far ours is outside, at least 0, in the unit of the number; infinite for a NaN."""
        return math.inf if math.isnan(ours) else max(self.lowest - ours, ours - self.highest, 0.0)

    def words(self) -> str:
        """The ends for people: `at most 120.2`."""
        if math.isinf(self.lowest):
            return f"at most {short(self.highest)}"
        if math.isinf(self.highest):
            return f"at least {short(self.lowest)}"
        return f"{short(self.lowest)} to {short(self.highest)}"


class Published(NamedTuple):
    """One number from elsewhere, and the name of the number of ours that stands beside it."""

    what: str
    value: float
    unit: str
    source: str  # where the number stands
    checked: str  # see `w2v_jax.papers`
    ours: str
    tolerance: Tolerance | None = None
    differs: str = ""  # what is not the same on both sides


def beside(
    paper: str, number: str, ours: str = "", tolerance: Tolerance | None = None, *, what: str = "", differs: str = ""
) -> Published:
    """A number of `w2v_jax.papers`, to stand beside the one of ours called `ours`, by default like the paper's.

    Raises:
      KeyError: the table has no number of this name.
    """
    n = NUMBERS[paper, number]
    source = PAPERS[paper].source
    return Published(what or number, n.value, n.unit, source, n.checked, ours or number, tolerance, differs)


class Verdict(NamedTuple):
    """What becomes of one published number."""

    published: Published
    ours: float
    miss: float  # 0.0 where the tolerance holds or none is stated


def judge(numbers: Sequence[Published], measured: Mapping[str, float]) -> list[Verdict]:
    """Each published number beside the one of ours that it names. KeyError: ours was not measured."""
    found = [(number, measured[number.ours]) for number in numbers]
    return [Verdict(n, ours, n.tolerance.miss(ours) if n.tolerance else 0.0) for n, ours in found]


def rows(verdicts: Sequence[Verdict], record: Mapping[str, float] | None = None) -> list[list[str]]:
    """A table under a line of names: ours, published, whether that was checked, verdict and source of each number.

    `record` holds earlier numbers of ours, and gets a column of its own.
    """
    out = [["number", "unit", "ours", "published", "checked", "verdict", "source"]]
    for number, ours, miss in verdicts:
        if number.tolerance is None:
            said = f"no tolerance stated{': ' if number.differs else ''}{number.differs}"
        else:
            said = f"{f'missed by {short(miss)}' if miss else 'holds'}: {number.tolerance.words()}"
        out.append([number.what, number.unit, short(ours), short(number.value), number.checked, said, number.source])
    if record is not None:
        kept = [short(record[v.published.ours]) if v.published.ours in record else "-" for v in verdicts]
        out = [[*row[:3], cell, *row[3:]] for row, cell in zip(out, ["record", *kept], strict=True)]
    return out


def missed(verdicts: Sequence[Verdict]) -> list[str]:
    """A sentence for each tolerance that is missed, which says by how much."""
    return [
        f"{n.what}: ours, {short(ours)} {n.unit}, misses the tolerance ({n.tolerance.words()}; {n.tolerance.why}) by "
        f"{short(miss)} {n.unit}; published: {short(n.value)}"
        for n, ours, miss in verdicts
        if n.tolerance and miss
    ]


def short(value: float) -> str:
    """A number in four digits: 107.4, 0.01364, 2.4e-09."""
    return f"{value:,.4g}"
