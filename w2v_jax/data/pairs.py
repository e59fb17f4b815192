"""Pairs of texts with a label SAME or DIFFERENT, or with a graded score, from tab-separated files or JSON Lines."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from w2v_jax.config import DataConfig, score_range
from w2v_jax.data.records import (
    check_label,
    decoded,
    filled,
    header_advice,
    of_files,
    paths_of,
    records,
    text_of,
    value_of,
    whole,
    whole_number,
)
from w2v_jax.errors import UserError
from w2v_jax.storage import to_path
from w2v_jax.types import Say

SAME_FROM = 0.5  # a graded pair counts as SAME from the middle of its range on
FORM = "pairs:GLOB[@LABEL,FIRST,SECOND[,COLUMN=VALUE]]"
_LABELS = {"SAME": 1.0, "1": 1.0, "DIFFERENT": 0.0, "0": 0.0}
_COLUMNS = re.compile(r"([0-9]+),([0-9]+),([0-9]+)(?:,([0-9]+)=(.*))?")
_RECORDS = re.compile(r".*\.jsonl(\.[a-z0-9]+)?")  # the name of a file of JSON Lines, plain or packed
_FIELDS = ("first", "second")  # of a record, where data.field names no others


class Pair(NamedTuple):
    """Two texts and how alike they are: from 0 (DIFFERENT, or the lowest score) to 1 (SAME, or the highest)."""

    score: float
    first: str
    second: str
    where: str = ""  # file and line


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
        `,COLUMN=VALUE` reads only the lines that have this value there: `pairs:sick*@3,5,6,1=TRAIN`. Files called
        *.jsonl, plain or packed, have a JSON object a line.
      cfg: `labels` is binary (SAME or 1, DIFFERENT or 0, in any case of letters) or the range of a graded score, such
        as 1..5. Of JSON Lines `label_field` names the field of the label, `field` those of both texts, with + between
        them: first+second, unless it is set.
      say: takes lines about what was skipped: blank lines; and about lines of different numbers of columns.

    Raises:
      UserError: no such form, no file, an empty one; no line has the value; columns of JSON Lines; and with file and
        line: a missing side, an empty text, a label that is none of the two or outside the range, not UTF-8, no JSON.
    """
    pattern, columns = _split(source)
    bounds = score_range(cfg.labels)
    if cfg.labels != "binary" and bounds is None:
        raise UserError(
            f"data.labels={cfg.labels!r}: pairs are labelled SAME or DIFFERENT (data.labels=binary) or by a score in a "
            "range such as data.labels=1..5"
        )
    out = []
    for row in of_files("pairs", pattern, "tsv", partial(_rows, cfg=cfg, columns=columns, say=say), say):
        if row is None:
            continue
        for text, place in zip(row.texts, row.places, strict=True):
            if not text.strip():
                raise UserError(f"{row.where}: the text in {place} is empty; remove the pair")
        check_label(row.where, row.label, "pair")
        out.append(Pair(_score(row, bounds), *row.texts, row.where))
    if not out:
        assert columns is not None
        raise UserError(f"{source}: no line has {columns.value!r} in column {columns.where}")
    return out


def any_records(source: str) -> bool:
    """Whether a source has files of JSON Lines. UserError: no such form, or no file."""
    return any(_RECORDS.fullmatch(path.name) for path in paths_of("pairs", _split(source)[0]))


def _split(source: str) -> tuple[str, Columns | None]:
    """(glob, columns) of a source; None where it names none."""
    kind, _, rest = source.partition(":")
    if kind != "pairs" or not rest:
        raise UserError(f"{source!r}: pairs of texts are needed: {FORM}")
    pattern, at, tail = rest.rpartition("@")
    if not at:
        return rest, None
    match = _COLUMNS.fullmatch(tail)
    if match is None:
        if to_path(os.path.expanduser(rest)).exists():  # the @ belongs to the name
            return rest, None
        raise UserError(f"{source!r}: {tail!r} names no columns; the form is {FORM}")
    columns = Columns(int(match[1]), int(match[2]), int(match[3]), int(match[4] or 0), match[5] or "")
    if 0 in columns[:3] or (match[4] and not columns.where) or len(set(columns[:3])) < 3:
        raise UserError(f"{source!r}: columns are counted from 1, and label and texts are three of them")
    return pattern, columns


class _Row(NamedTuple):
    """A label and two texts as a file has them."""

    where: str  # file and line
    label: str
    texts: tuple[str, str]
    places: tuple[str, str]  # of the texts, in words
    advice: str = ""  # the end of a message on a wrong label


def _score(row: _Row, bounds: tuple[float, float] | None) -> float:
    """A label as 0 to 1."""
    where, label = row.where, row.label.strip()
    if bounds is None:
        if label.upper() not in _LABELS:
            raise UserError(
                f"{where}: label {label[:40]!r} is none of SAME, DIFFERENT, 1, 0; for scores set data.labels to their "
                f"range, such as 1..5{row.advice}"
            )
        return _LABELS[label.upper()]
    try:
        value = float(label)
        advice = ""
    except ValueError:
        value, advice = math.nan, row.advice
    low, high = bounds
    if not low <= value <= high:
        raise UserError(f"{where}: score {label[:40]!r} is no number from {low:g} to {high:g} (data.labels){advice}")
    return (value - low) / (high - low)


def _rows(path: Path, file: IO[bytes], cfg: DataConfig, columns: Columns | None, say: Say) -> Iterator[_Row | None]:
    """The rows of a file; None for a line that has another value."""
    if not _RECORDS.fullmatch(path.name):
        return _of_lines(path, file, cfg.encoding_errors, columns or Columns(), say)
    if columns is not None:
        raise UserError(f"{path}: JSON Lines have no columns; leave the @ out, and name fields by data.field=A+B")
    return _of_records(path, file, cfg, say)


def _of_lines(path: Path, file: IO[bytes], errors: str, columns: Columns, say: Say) -> Iterator[_Row | None]:
    places = (f"column {columns.first}", f"column {columns.second}")
    sizes: dict[int, str] = {}  # numbers of columns, and the first line of each
    for where, line in filled(path, file, say):
        fields = whole(where, decoded(where, line, errors), errors).rstrip("\r\n").split("\t")
        sizes.setdefault(len(fields), where)
        if len(fields) < columns.needed:
            raise UserError(
                f"{where}: has {len(fields)} columns, and column {columns.needed} is needed: a pair is "
                f"LABEL<TAB>FIRST<TAB>SECOND, or name its columns by {FORM}"
            )
        if columns.where and fields[columns.where - 1] != columns.value:
            yield None
            continue
        texts = (fields[columns.first - 1], fields[columns.second - 1])
        yield _Row(where, fields[columns.label - 1], texts, places, header_advice(where))
    if len(sizes) > 1:
        (one, here), (other, there), *_ = sizes.items()
        say(
            f"warning: {here} has {one} columns, {there} has {other}: a tab inside a text moves those after it, and "
            "further columns are ignored; take such tabs out, or give JSON Lines"
        )


def _of_records(path: Path, file: IO[bytes], cfg: DataConfig, say: Say) -> Iterator[_Row]:
    names = tuple(cfg.field.split("+")) if cfg.field != DataConfig.field else _FIELDS
    if len(names) != 2:
        raise UserError(f"data.field={cfg.field!r}: a pair has two texts; name two fields, such as first+second")
    for where, record in records(path, file, cfg.encoding_errors, say):
        label = value_of(where, record, cfg.label_field, "data.label_field")
        check_label(where, label, "pair")
        if isinstance(label, bool) or not isinstance(label, str | int | float):
            need = "it must be a string or a number; give it a label, or remove the pair"
            shown = json.dumps(label)[:40]
            raise UserError(f"{where}: field {cfg.label_field!r} (data.label_field) is {shown}; {need}")
        first, second = (text_of(where, record, (name,), cfg.encoding_errors) for name in names)
        yield _Row(where, str(whole_number(label)), (first, second), (f"field {names[0]!r}", f"field {names[1]!r}"))
