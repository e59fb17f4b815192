"""fastText's binary models: words, their counts and vectors, and the n-grams that make vectors of unseen words.

A file has a magic number, a version, the settings, the dictionary (each word ends in a zero byte, a count and a kind
follow), one byte that says whether the matrix is quantised, and float32 [words + buckets, D]. The vector of a word is
the mean of its own row and the rows of its n-grams. The output layer, which comes last, is not read.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple, NoReturn

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.formats.rows import MAX_DIM, MAX_WORD, Options, Rows, Table
from w2v_jax.formats.subwords import END, Subwords

MAGIC = struct.pack("<i", 793712314)
_VERSION = 12
_SUPERVISED = 3
_MOST_CHARACTERS = 64  # of an n-gram
_READ = 1 << 16
_AT_ONCE = 1 << 13  # bytes of words whose vectors are made together


class _Head(NamedTuple):
    words: int
    dim: int
    buckets: int  # 0 where words have no n-grams
    shortest: int
    longest: int


class _Entries(NamedTuple):
    """The dictionary: words, their counts, and the bytes where they begin."""

    words: list[bytes]
    counts: list[int]
    places: list[int]


class _Bytes:
    """A file read from its start, which knows the byte that it has come to."""

    def __init__(self, f: BinaryIO, path: str) -> None:
        self.f, self.path, self._base, self._buffer, self._next = f, path, 0, b"", 0

    @property
    def at(self) -> int:
        return self._base + self._next

    def fail(self, what: str) -> NoReturn:
        raise UserError(f"{self.path}: byte {self.at:,}: {what}; fetch the file again")

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        while len(self._buffer) - self._next < n:
            self._more(n)
        self._next += n
        return self._buffer[self._next - n : self._next]

    def word(self) -> bytes:
        """What comes before the next zero byte."""
        searched = 0
        while (end := self._buffer.find(b"\0", self._next + searched)) < 0:
            searched = len(self._buffer) - self._next
            if searched > MAX_WORD:
                self.fail(f"no word ends within {MAX_WORD:,} bytes: damaged")
            self._more(searched)
        word = self._buffer[self._next : end]
        self._next = end + 1
        return word

    def _more(self, n: int) -> None:
        more = self.f.read(max(n, _READ))
        if not more:
            self.fail("the file ends too early: truncated")
        self._base, self._buffer, self._next = self.at, self._buffer[self._next :] + more, 0


def read_fasttext(f: BinaryIO, path: str, options: Options, limit: int, size: int, packed: bool) -> Table:
    """The words of a model that was trained without labels. UserError: of another kind or version, or damaged."""
    stream = _Bytes(f, path)
    head = _head(stream, path)
    if (10 + 4 * head.dim) * head.words + 4 * head.dim * head.buckets > size:
        what = f"{head.words:,} words and {head.buckets:,} buckets x {head.dim:,} dimensions"
        stream.fail(f"header of {what}, but the file holds {size:,} bytes at most: truncated")
    entries = _dictionary(stream, head.words)
    matrix = _matrix(stream, head, packed)
    subwords = Subwords(matrix[head.words :], head.shortest, head.longest) if head.buckets else None
    wanted = min(limit or head.words, head.words)
    rows = Rows(path, "byte", options, head.dim, wanted)
    start = 0
    while start < wanted:
        stop, room = start + 1, _AT_ONCE - len(entries.words[start])
        while stop < wanted and room > 0:
            room -= len(entries.words[stop])
            stop += 1
        block = _means(entries.words[start:stop], matrix[start:stop], subwords)
        for i, vector in enumerate(block, start):
            rows.add(entries.words[i], vector, entries.places[i])
        start = stop
    return rows.table(dict(zip(entries.places, entries.counts, strict=True)), subwords)


def _means(words: list[bytes], own: np.ndarray, subwords: Subwords | None) -> np.ndarray:
    """Means of words' own rows [n, D] and those of their n-grams."""
    block = np.array(own)
    if subwords is not None:
        some = [i for i, word in enumerate(words) if word != END.encode()]
        sums, count = subwords.sums([words[i] for i in some])
        block[some] = (block[some] + sums) / (count + 1).astype(np.float32)[:, None]
    return block


def _head(stream: _Bytes, path: str) -> _Head:
    _, version = struct.unpack("<2i", stream.take(8))
    if version != _VERSION:
        raise UserError(f"{path}: fastText model of version {version}: only {_VERSION} is read; use its .vec file")
    dim, _, _, _, _, _, _, kind, buckets, shortest, longest, _, _ = struct.unpack("<12id", stream.take(56))
    entries, words, labels, _, pruned = struct.unpack("<3i2q", stream.take(28))
    if kind == _SUPERVISED or labels:
        raise UserError(f"{path}: fastText classifier (supervised): only models of word vectors are read")
    if pruned > 0:
        raise _quantised(path)
    if not (1 <= dim <= MAX_DIM and 1 <= words == entries and buckets >= 0 and longest <= _MOST_CHARACTERS):
        said = f"{words:,} of {entries:,} words, {dim:,} dimensions, {buckets:,} buckets, n-grams up to {longest:,}"
        stream.fail(f"damaged fastText model ({said})")
    return _Head(words, dim, buckets if longest > 0 else 0, max(shortest, 1), longest)


def _quantised(path: str) -> UserError:
    return UserError(f"{path}: quantised fastText model (.ftz): use the .bin or .vec file that it was made from")


def _dictionary(stream: _Bytes, words: int) -> _Entries:
    found = _Entries([], [], [])
    for _ in range(words):
        found.places.append(stream.at)
        found.words.append(stream.word())
        count, kind = struct.unpack("<qb", stream.take(9))
        if kind or count < 0:
            stream.fail(f"entry {len(found.words):,} of the dictionary is no word with its count: damaged")
        found.counts.append(count)
    return found


def _matrix(stream: _Bytes, head: _Head, packed: bool) -> np.ndarray:
    """float32 [words + buckets, D]. That of a plain file is mapped: the buckets are often gigabytes, few are needed."""
    if stream.take(1) != b"\0":
        raise _quantised(stream.path)
    n, dim = struct.unpack("<2q", stream.take(16))
    # A model without n-grams may name buckets all the same.
    if dim != head.dim or n < head.words + head.buckets or n > 1 << 40:
        stream.fail(f"matrix of {n:,} x {dim:,}, not {head.words + head.buckets:,} x {head.dim:,}: damaged")
    shape = (head.words + head.buckets, dim)
    if packed:
        return np.frombuffer(stream.take(4 * shape[0] * dim), "<f4").reshape(shape)
    try:
        return np.memmap(stream.path, "<f4", "r", stream.at, shape)
    except ValueError:
        stream.fail("the file ends within the matrix: truncated")
