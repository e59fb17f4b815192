"""Tab-separated test files in, aligned text tables out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from w2v_jax.errors import UserError


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """(line number from 1, line) of a UTF-8 text file, empty lines left out.

    Raises:
      UserError: a missing or empty file, or one that is not UTF-8.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; check the name")
    number = 0
    with open(path, "rb") as f:
        for number, raw in enumerate(f, 1):
            try:
                line = raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise UserError(f"{path}: line {number:,}: not UTF-8; convert the file") from None
            if line.strip():
                yield number, line
    if not number:
        raise UserError(f"{path}: the file is empty")


def read_tsv(path: str | os.PathLike[str], columns: int) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of a file without header or quoting. UserError: a line with another number of fields."""
    for number, line in read_lines(path):
        fields = line.split("\t")
        if len(fields) != columns or not all(field.strip() for field in fields):
            raise UserError(f"{os.fspath(path)}: line {number:,}: must be {columns} fields separated by tabs")
        yield number, fields


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Rows as text, every column as wide as its widest cell: those in `left` to the left, the others to the right."""
    columns = max((len(row) for row in rows), default=0)
    widths = [max((len(row[i]) for row in rows if i < len(row)), default=0) for i in range(columns)]
    lines = []
    for row in rows:
        cells = [c.ljust(widths[i]) if i in left else c.rjust(widths[i]) for i, c in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
