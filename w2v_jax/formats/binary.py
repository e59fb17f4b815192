"""word2vec's binary format: a header of two numbers, then `word`, a blank and D little-endian float32 each."""

from __future__ import annotations

import re
import warnings
from typing import BinaryIO

import numpy as np

from w2v_jax.formats.rows import MAX_WORD, MISREAD, Options, Rows, Table

# What no word holds, and what a writer puts between records: bytes of numbers are read as a word.
_NO_WORD = re.compile(rb"[\x00\t-\r]")
_HUGE = 1e15
_READ = 1 << 20
_SAMPLE = 1 << 16


def looks_binary(f: BinaryIO, dim: int) -> bool:
    """Whether the records from here on are raw floats: the first is no line of numbers, and some bytes are no text."""
    sample = f.read(_SAMPLE)
    while b" " not in sample and (more := f.read(len(sample))):  # a very long word; twice as much each time
        sample += more
    sample += f.read(4 * dim) if len(sample) > _SAMPLE else b""
    fields = sample.partition(b"\n")[0].split()
    try:
        if len(fields) > dim and all(np.isfinite(float(x)) for x in fields[-dim:]):
            return False
    except ValueError:
        pass
    if re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", sample):
        return True
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as e:
        return e.start < len(sample) - 4  # the end of the sample may cut a character
    return False


def read_binary(f: BinaryIO, path: str, options: Options, total: int, dim: int, limit: int, offset: int) -> Table:
    """The table of records from byte `offset` on. The C tool ends each with a newline, some tools with CR and LF."""
    wanted = min(total, limit) if limit else total
    rows = Rows(path, "byte", options, dim, wanted)
    rows.misread = MISREAD
    width, buffer, base, at, found = 4 * dim, b"", offset, 0, 0
    while found < wanted:
        words, starts, places = list[bytes](), list[int](), list[int]()  # of the records that the buffer holds
        for _ in range(wanted - found):
            blank = buffer.find(b" ", at, at + MAX_WORD + 1)
            if blank < 0 or blank + width >= len(buffer):
                break
            words.append(buffer[at:blank].lstrip(b"\r\n"))
            starts.append(blank + 1)
            places.append(base + at)
            at = blank + 1 + width
        if words:
            if _NO_WORD.search(b" ".join(words)):
                i = next(i for i, word in enumerate(words) if _NO_WORD.search(word))
                rows.fail(places[i], f"word {words[i][:40]!r} holds bytes of numbers: {MISREAD}")
            rows.add_block(words, buffer, starts, places)
            found += len(words)
            continue
        if blank < 0 and len(buffer) - at > MAX_WORD:
            rows.fail(base + at, f"no word ends within {MAX_WORD:,} bytes: damaged, or not {dim:,} dimensions")
        more = f.read(max(_READ, width, len(buffer) - at))  # twice as much for a word that is longer still
        if not more:
            there = f"the file ends within record {found + 1:,} of {total:,}: truncated"
            rows.fail(base + len(buffer), there + (f"; limit={found} reads those before it" if found else ""))
        buffer, base, at = buffer[at:] + more, base + at, 0
    if not limit and (buffer[at:] + f.read(16)).strip(b"\r\n"):
        rows.fail(base + at, f"more data after the header's {total:,} words; limit={total} reads these only")
    table = rows.table()
    _say_huge(path, table)
    return table


def _say_huge(path: str, table: Table) -> None:
    """Warns of numbers that no training makes, but four bytes of two numbers do."""
    for start in range(0, len(table.words), 8192):
        huge = (np.abs(table.vectors[start : start + 8192]) > _HUGE).any(axis=1)
        if huge.any():
            word = table.words[start + int(np.argmax(huge))]
            warnings.warn(f"{path}: vector of {word[:40]!r} has a number above {_HUGE:g}: {MISREAD}", stacklevel=2)
            return
