"""Pairs of texts with a label SAME or DIFFERENT, or with a graded score, from tab-separated files."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from w2v_jax.config import DataConfig, score_range
from w2v_jax.data.records import decoded, filled, of_files, whole
from w2v_jax.errors import UserError
from w2v_jax.storage import to_path
from w2v_jax.types import Say

SAME_FROM = 0.5  # a graded pair counts as SAME from the middle of its range on
FORM = "pairs:GLOB[@LABEL,FIRST,SECOND[,COLUMN=VALUE]]"
_LABELS = {"SAME": 1.0, "1": 1.0, "DIFFERENT": 0.0, "0": 0.0}
_COLUMNS = re.compile(r"([0-9]+),([0-9]+),([0-9]+)(?:,([0-9]+)=(.*))?")


class Pair(NamedTuple):
    """Two texts and how alike they are: from 0 (DIFFERENT, or the lowest score) to 1 (SAME, or the highest)."""

    score: float
    first: str
    second: str


class Columns(NamedTuple):
    """Where a line has its label and its texts, counted from 1, and which lines are read."""

    label: int = 1
    first: int = 2
    second: int = 3
    where: int = 0  # the column that must hold `value`; 0: every line is read
    value: str = ""

    @property
    def needed(self) -> int:
        """Columns that a line must have."""
        return max(self.label, self.first, self.second, self.where)


def read_pairs(source: str, cfg: DataConfig, say: Say = lambda line: None) -> list[Pair]:
    """The pairs of a source, in the order of the files, which are sorted by name.

    Args:
      source: `pairs:GLOB`, UTF-8 files (plain, .gz, .bz2, .xz, .zst) of lines LABEL<TAB>FIRST<TAB>SECOND; further
        columns are ignored. `@LABEL,FIRST,SECOND` after the glob names other columns, counted from 1, and a further
        `,COLUMN=VALUE` reads only the lines that have this value there: `pairs:sick*@3,5,6,1=TRAIN`.
      cfg: `labels` is binary (SAME or 1, DIFFERENT or 0, in any case of letters) or the range of a graded score, such
        as 1..5.
      say: takes lines about what was skipped: blank lines.

    Raises:
      UserError: no such form, no file, an empty one; no line has the value; and with file and line: a missing side, an
        empty text, a label that is none of the two or outside the range, not UTF-8.
    """
    pattern, columns = _split(source)
    bounds = score_range(cfg.labels)
    if cfg.labels != "binary" and bounds is None:
        raise UserError(
            f"data.labels={cfg.labels!r}: pairs are labelled SAME or DIFFERENT (data.labels=binary) or by a score in a "
            "range such as data.labels=1..5"
        )
    out = []
    for where, line in of_files("pairs", pattern, "tsv", partial(_lines, errors=cfg.encoding_errors, say=say)):
        fields = line.split("\t")
        if len(fields) < columns.needed:
            raise UserError(
                f"{where}: has {len(fields)} columns, and column {columns.needed} is needed: a pair is "
                f"LABEL<TAB>FIRST<TAB>SECOND, or name its columns by {FORM}"
            )
        if columns.where and fields[columns.where - 1] != columns.value:
            continue
        first, second = fields[columns.first - 1], fields[columns.second - 1]
        for text, number in ((first, columns.first), (second, columns.second)):
            if not text.strip():
                raise UserError(f"{where}: the text in column {number} is empty; remove the pair")
        out.append(Pair(_score(where, fields[columns.label - 1].strip(), bounds), first, second))
    if not out:
        raise UserError(f"{source}: no line has {columns.value!r} in column {columns.where}")
    return out


def _split(source: str) -> tuple[str, Columns]:
    """(glob, columns) of a source."""
    kind, _, rest = source.partition(":")
    if kind != "pairs" or not rest:
        raise UserError(f"{source!r}: pairs of texts are needed: {FORM}")
    pattern, at, tail = rest.rpartition("@")
    if not at:
        return rest, Columns()
    match = _COLUMNS.fullmatch(tail)
    if match is None:
        if to_path(os.path.expanduser(rest)).exists():  # the @ belongs to the name
            return rest, Columns()
        raise UserError(f"{source!r}: {tail!r} names no columns; the form is {FORM}")
    columns = Columns(int(match[1]), int(match[2]), int(match[3]), int(match[4] or 0), match[5] or "")
    if 0 in columns[:3] or (match[4] and not columns.where) or len(set(columns[:3])) < 3:
        raise UserError(f"{source!r}: columns are counted from 1, and label and texts are three of them")
    return pattern, columns


def _score(where: str, label: str, bounds: tuple[float, float] | None) -> float:
    """A label as 0 to 1."""
    if bounds is None:
        if label.upper() not in _LABELS:
            raise UserError(
                f"{where}: label {label[:40]!r} is none of SAME, DIFFERENT, 1, 0; for scores set data.labels to their "
                "range, such as 1..5"
            )
        return _LABELS[label.upper()]
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    low, high = bounds
    if not low <= value <= high:
        raise UserError(f"{where}: score {label[:40]!r} is no number from {low:g} to {high:g} (data.labels)")
    return (value - low) / (high - low)


def _lines(path: Path, file: IO[bytes], errors: str, say: Say) -> Iterator[tuple[str, str]]:
    """(file and line, the line without its end) of the lines that are not blank."""
    for where, line in filled(path, file, say):
        yield where, whole(where, decoded(where, line, errors), errors).rstrip("\r\n")
