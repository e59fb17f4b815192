"""Raw text in bounded memory: the output of every source of text, and the input of every reader.

Text comes in chunks in which `MARK` ends a document: a NUL, which no text may hold, between two blanks that belong to
no document. A chunk ends with a document or before a run of white space, never inside a word or such a run: each chunk
can be tokenised alone. Neither a corpus larger than memory nor one very long line is held whole (a run of characters
without white space is, up to `sources.LONGEST_RUN`).
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from w2v_jax.errors import UserError
from w2v_jax.storage import Stat, in_bucket, listing
from w2v_jax.types import Say

END = "\0"
MARK = f" {END} "
# Unicode's White_Space. Python's own `isspace` adds four separators (U+001C to U+001F), which are marks for the pattern
# of byte-level BPE: a cut before one of them would change its tokens.
WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
# A file that changed so shortly before it is read may change again with the same time stamp.
SETTLE_SECONDS = 2.0


class Hash(Protocol):
    """What a content is fed to: a hash of hashlib, or `Fed`."""

    def update(self, data: bytes, /) -> None: ...


class Fed:
    """Keeps the bytes that a hash would be fed: those of slices, joined, give the digest of the whole."""

    def __init__(self) -> None:
        self.data = b""

    def update(self, data: bytes, /) -> None:
        self.data += data


class Met:
    """What is met while local files are read."""

    def __init__(self, say: Say) -> None:
        self._say, self._said = say, set[str]()
        self.replaced = 0  # characters U+FFFD that stand for what is not UTF-8, in this reading

    def say(self, line: str) -> None:
        """Says a line once, however often the text is read."""
        if line not in self._said:
            self._said.add(line)
            self._say(line)


@dataclasses.dataclass(frozen=True)
class RawText:
    """Text to be tokenised, with a cheap test whether it is the same text as last time."""

    name: str  # the source with file names but without times: finds the record of an earlier run
    stamp: str  # digest of names, sizes and times of change; same stamp and `settled`: same content
    settled: bool  # False when a file is so new that it could still change without a new time stamp
    size: int  # bytes that `chunks` will count, 0 where unknown
    chunks: Callable[[Hash], Iterator[tuple[str, int]]]
    """(hash, which is fed the content) -> (text with a `MARK` after each document, bytes read so far), by chunk."""
    rehash: Callable[[], str] | None = None  # digest of the content without tokenising, where that is cheaper
    cut: Callable[[int, int], RawText] | None = None
    """(i, n) -> slice i of n, whole files in their order. The texts and the hashed bytes of the slices, end to end, are
    those of the whole. None: it is read as a whole."""
    met: Met | None = None  # of local files

    def emptied(self) -> RawText:
        """The same text without any content: a slice of another process has all of it."""
        return dataclasses.replace(self, size=0, chunks=lambda content: iter(()))


def stamp_of(entries: Sequence[tuple[str, os.stat_result | Stat]]) -> tuple[str, bool]:
    """(digest of names, sizes, inodes and times, whether all files have lain unchanged for `SETTLE_SECONDS`)."""
    h = hashlib.blake2b(digest_size=16)
    newest = 0.0
    for name, st in entries:
        h.update(os.fsencode(f"{name}\0{st.st_size}\0{st.st_mtime_ns}\0{st.st_ctime_ns}\0{st.st_ino}\n"))
        newest = max(newest, st.st_mtime, st.st_ctime)
    return h.hexdigest(), time.time() - newest > SETTLE_SECONDS


def pieces(chunk: str) -> list[str]:
    """The documents of a chunk without their trailing white space; the last piece is the start of one still open.

    A document longer than a chunk is the pieces of several chunks end to end; those after the first begin with white
    space.
    """
    documents = chunk.split(MARK)
    return [d.rstrip(WHITE) for d in documents[:-1]] + documents[-1:]


def whole_documents(chunks: Iterable[tuple[str, int]]) -> Iterator[str]:
    """The documents of `RawText.chunks`: the parts of one that spans chunks are put together."""
    rest: list[str] = []
    for chunk, _ in chunks:
        *whole, last = pieces(chunk)
        for document in whole:
            yield "".join([*rest, document])
            rest = []
        rest.append(last)
    if any(part.strip() for part in rest):
        yield "".join(rest)


def matches(pattern: str) -> list[str]:
    """What a glob matches, ** over folders too. UserError: a link below ** leads back to a folder that it lies in."""
    if in_bucket(pattern):
        return listing(pattern)
    for top in glob.glob(pattern.partition("**")[0] or ".") if "**" in pattern else ():
        for folder, below, _ in os.walk(top):
            real = os.path.join(os.path.realpath(folder), "")
            for link in (os.path.join(folder, d) for d in below if os.path.islink(os.path.join(folder, d))):
                if real.startswith(os.path.join(os.path.realpath(link), "")):
                    raise UserError(f"{link}: a link to a folder that it lies in; name the folders without **")
    return glob.glob(pattern, recursive=True)
