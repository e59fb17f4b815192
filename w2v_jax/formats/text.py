"""Lines of a word and its numbers: word2vec text, and GloVe, which has no header."""

from __future__ import annotations

import warnings
from typing import BinaryIO, NoReturn

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.formats.rows import MAX_DIM, MAX_WORD, Options, Rows, Table

_MAX_NUMBER = 64  # bytes of one number, including its blanks


def read_text(
    f: BinaryIO, path: str, options: Options, total: int, dim: int, limit: int, size: int, number: int
) -> Table:
    """Lines of a word and D numbers, from line `number` on; without a header (GloVe) total and dim are 0."""
    rows: Rows | None = None
    longest = MAX_WORD + _MAX_NUMBER * (dim or MAX_DIM)
    wanted = min(filter(None, (total, limit)), default=0)
    read = wide = decimal = 0
    whole = True  # whether the last line has its end
    while not wanted or read < wanted:
        line = f.readline(longest + 1)
        place = number + read
        if not line or (not line.strip() and not f.read(1)):
            break
        if rows is None:
            dim = dim or len(line.split()) - 1
            if not 1 <= dim <= MAX_DIM:
                raise UserError(f"{path}: line {place:,}: no numbers after the first word: not a file of word vectors")
            longest = MAX_WORD + _MAX_NUMBER * dim
            rows = Rows(path, "line", options, dim, wanted or min(limit or size, size // len(line) + 16))
        word, values = _parse(rows, line, dim, place, len(line) > longest)
        if len(parts := word.split()) > 1 and _number(parts[-1]):
            # The header says where a phrase such as `Toy Story 2` ends; without one, nothing does.
            if not total:
                _unexpected(rows, place, f"{len(line.split()) - 1:,} numbers", dim)
            wide += all(map(_number, parts[1:]))
            decimal += b"." in parts[-1]  # no year or part of a title
        with np.errstate(over="ignore"):
            rows.add(word, values, place)
        read, whole = read + 1, line.endswith(b"\n")
    if rows is None:
        raise UserError(f"{path}: line {number:,}: the file ends before the first word: truncated")
    if wide == read > 1 or 2 * decimal > read > 1:
        many = "every line" if wide == read else f"{decimal:,} of {read:,} lines"
        _unexpected(rows, number, f"more than {dim:,} numbers in {many}", dim)
    if not whole:
        what = "the last line has no line end: if the file was cut, its last number has lost digits"
        warnings.warn(f"{path}: line {number + read - 1:,}: {what}", stacklevel=2)
    if wanted and read < wanted and total:
        there = f"the file ends after {read:,} of the {total:,} words of its header: truncated"
        rows.fail(number + read, f"{there}; limit={read} reads these only")
    if total and not limit and f.read(64).strip():
        rows.fail(number + read, f"more lines than the header's {total:,} words; limit={total} reads these only")
    return rows.table()


def _parse(rows: Rows, line: bytes, dim: int, place: int, cut: bool) -> tuple[bytes, list[float]]:
    """The word and its numbers, which are the last D: words of several parts keep the blanks between them."""
    fields = line.rsplit(None, dim)
    if cut or len(fields) != dim + 1:
        if len(fields) == dim and line[:1].isspace():
            rows.fail(place, "the word is empty")
        _unexpected(rows, place, "over-long line" if cut else f"{max(0, len(fields) - 1):,} numbers", dim)
    try:
        return fields[0].lstrip(), list(map(float, fields[1:]))
    except ValueError:
        bad = next(x for x in fields[1:] if not _number(x))
        said = bad[:40].decode("utf-8", "replace")
        rows.fail(place, f"{said!r} is not a number: damaged, or not a file of word vectors")


def _unexpected(rows: Rows, place: int, many: str, dim: int) -> NoReturn:
    rows.fail(place, f"{many}, but {dim:,} were expected: truncated, damaged or vectors of another dimension")


def _number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
