"""Published numbers beside ours: their source, whether they were checked there, and the tolerance for ours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from w2v_jax.papers import NUMBERS, PAPERS


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """The range that a number of ours may have, ends included, in the unit of the published one."""

    why: str  # the reason for these ends
    lowest: float = -math.inf
    highest: float = math.inf

    def __post_init__(self) -> None:
        if not (self.lowest <= self.highest and self.why):
            raise ValueError(f"{self}: needs a reason, and ends that allow something")

    def miss(self, ours: float) -> float:
        """Distance of ours from the range; infinite for a NaN."""
        return math.inf if math.isnan(ours) else max(self.lowest - ours, ours - self.highest, 0.0)

    def words(self) -> str:
        """The ends for people: `at most 120.2`."""
        if math.isinf(self.lowest):
            return f"at most {short(self.highest)}"
        if math.isinf(self.highest):
            return f"at least {short(self.lowest)}"
        return f"{short(self.lowest)} to {short(self.highest)}"


class Published(NamedTuple):
    """One number from elsewhere, and the name of our number beside it."""

    what: str
    value: float
    unit: str
    source: str
    checked: str  # see `w2v_jax.papers`
    ours: str
    tolerance: Tolerance | None = None
    differs: str = ""  # between the two settings


def beside(
    paper: str, number: str, ours: str = "", tolerance: Tolerance | None = None, *, what: str = "", differs: str = ""
) -> Published:
    """A number of `w2v_jax.papers` beside ours, by default of the same name. KeyError: not in the table."""
    n, source = NUMBERS[paper, number], PAPERS[paper].source
    return Published(what or number, n.value, n.unit, source, n.checked, ours or number, tolerance, differs)


class Verdict(NamedTuple):
    """One published number beside ours."""

    published: Published
    ours: float
    miss: float  # 0.0 where the tolerance holds or none is stated


def judge(numbers: Sequence[Published], measured: Mapping[str, float]) -> list[Verdict]:
    """A verdict on each published number. KeyError: ours was not measured."""
    return [Verdict(n, measured[n.ours], n.tolerance.miss(measured[n.ours]) if n.tolerance else 0.0) for n in numbers]


def rows(verdicts: Sequence[Verdict], record: Mapping[str, float] | None = None) -> list[list[str]]:
    """A table of the verdicts, whose first row names the columns; `record`, our earlier numbers, adds a column."""
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
    """One sentence per missed tolerance."""
    return [
        f"{n.what}: ours, {short(ours)} {n.unit}, misses the tolerance ({n.tolerance.words()}; {n.tolerance.why}) by "
        f"{short(miss)} {n.unit}; published: {short(n.value)}"
        for n, ours, miss in verdicts
        if n.tolerance and miss
    ]


def short(value: float) -> str:
    """A number in four digits: 107.4, 0.01364, 2.4e-09."""
    return f"{value:,.4g}"
