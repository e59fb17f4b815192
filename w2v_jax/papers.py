"""Published numbers that ours are compared with. papers.tsv has the papers, published.tsv their numbers, both with a
header line and - for an empty field."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from w2v_jax.errors import UserError
from w2v_jax.tables import read_tsv

CHECKED = {
    "verified": "read at the source that is named, or in a copy of its table",
    "unverified": "quoted from memory: the paper was not at hand",
    "computed": "follows from arithmetic",
    "claimed": "said by the notes that this project tests, without a measurement",
}
CLAIMED_ACCURACY = {1e6: 0.70, 1e8: 0.75, 1e9: 0.78, 1e10: 0.82, 1e11: 0.85}  # of the next word, by parameters


class Number(NamedTuple):
    """A published number."""

    value: float
    error: float  # standard error; nan where the source has none
    unit: str
    checked: str  # a key of CHECKED


class Paper(NamedTuple):
    """A source."""

    name: str  # authors and year
    arxiv: str  # identifier; empty where there is none
    where: str  # the table, figure or file that has the numbers
    why: str  # the reason for their marks

    @property
    def cited(self) -> str:
        """The paper with its identifier."""
        return f"{self.name}, arXiv {self.arxiv}" if self.arxiv else self.name

    @property
    def source(self) -> str:
        """`cited`, and where in the paper the numbers are."""
        return f"{self.cited}, {self.where}" if self.where else self.cited


def _rows(path: Path, columns: int) -> Iterator[tuple[str, list[str]]]:
    """(place for messages, fields) of the lines below the header."""
    for number, fields in read_tsv(path, columns):
        if number > 1:
            yield f"{path}: line {number}", ["" if field == "-" else field for field in fields]


def read_papers(path: Path) -> dict[str, Paper]:
    """The papers of a file, by short name. UserError: see `read_tsv`."""
    return {name: Paper(*fields) for _, (name, *fields) in _rows(path, 5)}


def read_numbers(path: Path, papers: dict[str, Paper]) -> dict[tuple[str, str], Number]:
    """The numbers of a file, by (paper, name). UserError: an unknown paper or mark, or a value that is no number."""
    found = {}
    for place, (paper, name, value, error, unit, checked) in _rows(path, 6):
        if paper not in papers or checked not in CHECKED:
            raise UserError(f"{place}: {paper!r} must be in papers.tsv, and {checked!r} one of {', '.join(CHECKED)}")
        try:
            found[paper, name] = Number(float(value), float(error or math.nan), unit, checked)
        except ValueError as e:
            raise UserError(f"{place}: {e}; give a number") from None
    return found


PAPERS = read_papers(Path(__file__).with_name("papers.tsv"))
NUMBERS = read_numbers(Path(__file__).with_name("published.tsv"), PAPERS)


def cited(*papers: str) -> str:
    """The papers of these short names, each with its identifier."""
    return ", ".join(PAPERS[paper].cited for paper in papers)


def value(paper: str, number: str) -> float:
    """The value of a number. KeyError: it is not in the table."""
    return NUMBERS[paper, number].value
