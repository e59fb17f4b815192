"""Tables and durations as text, and the lines of text files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence

from w2v_jax.errors import UserError
from w2v_jax.files import MAC_ADVICE, not_text
from w2v_jax.storage import open_read, to_path
from w2v_jax.unpack import READ, unpacked

Rows = Sequence[Sequence[str]]
PACKED = READ[1:]  # endings of files that `read_lines` unpacks


def read_lines(path: str | os.PathLike[str], comments: bool = False) -> Iterator[tuple[int, str]]:
    """(line number from 1, line) of a UTF-8 file, unpacked by its ending (see `unpack`), without a byte-order mark and
    without empty lines; under `comments` also without lines that begin with #. UserError: no file, an empty one, not
    UTF-8, damaged."""
    path = os.fspath(path)
    if not to_path(path).is_file():
        raise UserError(f"{path}: no such file; check the name")
    number = 0
    with open_read(path) as packed, unpacked(to_path(path), packed) as f:
        for number, raw in enumerate(f, 1):
            if number == 1 and (what := not_text(raw)):
                raise UserError(f"{path}: {what}")
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise UserError(f"{path}: line {number:,}: not UTF-8; convert the file") from None
            if number == 1 and not raw.endswith(b"\n") and "\r" in line:
                raise UserError(f"{path}: {MAC_ADVICE}")
            if line.strip() and not (comments and line.startswith("#")):
                yield number, line
    if not number:
        raise UserError(f"{path}: the file is empty")


def read_tsv(path: str | os.PathLike[str], columns: int) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields without blanks around them) of a file without header or quoting, where lines that begin with
    # are comments. UserError: a line with another number of fields."""
    for number, line in read_lines(path, comments=True):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != columns or not all(fields):
            raise UserError(f"{os.fspath(path)}: line {number:,}: must be {columns} fields separated by tabs")
        yield number, fields


def aligned(rows: Rows, left: Collection[int] = (0,)) -> str:
    """Rows as text in columns as wide as their widest cells; those in `left` are aligned left, the others right."""
    return "\n".join("  ".join(cells).rstrip() for cells in _padded(rows, left))


def markdown(rows: Rows) -> str:
    """Rows as a Markdown table. The first row is the header; columns of numbers are aligned right."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    words = {i for row in rows[1:] for i, cell in enumerate(row) if cell.strip("-+")[:1] not in "0123456789"}
    left = words | {0}
    rule = [":--" if i in left else "--:" for i in range(len(rows[0]))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in _padded([rows[0], rule, *rows[1:]], left))


def _padded(rows: Rows, left: Collection[int]) -> list[list[str]]:
    columns = max((len(row) for row in rows), default=0)
    widths = [max((len(row[i]) for row in rows if i < len(row)), default=0) for i in range(columns)]
    return [[c.ljust(widths[i]) if i in left else c.rjust(widths[i]) for i, c in enumerate(row)] for row in rows]


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
