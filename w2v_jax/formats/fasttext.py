"""fastText's binary models: words, their counts and vectors, and the n-grams that make vectors of unseen words.

A file has a magic number, a version, the settings, the dictionary (each word ends in a zero byte, a count and a kind
follow), one byte that says whether the matrix is quantised, and float32 [words + buckets, D]. The vector of a word is
the mean of its own row and the rows of its n-grams. The output layer, which comes last, is not read, and is written as
zeros.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import IO, BinaryIO, NamedTuple, NoReturn

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.formats.rows import MAX_DIM, MAX_WORD, Options, Rows, Table
from w2v_jax.formats.subwords import END, Subwords

MAGIC = struct.pack("<i", 793712314)
_VERSION = 12
_SKIP_GRAM, _SUPERVISED = 2, 3
_NEGATIVE_SAMPLING = 2
_MOST_CHARACTERS = 64  # of an n-gram
_READ = 1 << 16
_AT_ONCE = 1 << 13  # bytes of words whose vectors are made together
_ROWS = 4096  # written at a time


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
    for start, stop in _blocks(entries.words[:wanted]):
        block = _means(entries.words[start:stop], matrix[start:stop], subwords)
        for i, vector in enumerate(block, start):
            rows.add(entries.words[i], vector, entries.places[i])
    return rows.table(dict(zip(entries.places, entries.counts, strict=True)), subwords)


def write_fasttext(f: IO[bytes], table: Table, subwords: Subwords) -> None:
    """Writes a model of `table`'s words that has their vectors, and those that `subwords` gives unseen words.

    A table has neither the settings of its training, for which fastText's defaults are written, nor its output layer,
    for which zeros are. A count is at least 1, and 1 without counts: gensim leaves out words of count 0.
    """
    names = [word.encode() for word in table.words]
    n, dim = table.vectors.shape
    counts = [1] * n if table.counts is None else [max(1, int(count)) for count in table.counts]
    f.write(MAGIC + struct.pack("<i", _VERSION))
    lengths = (len(subwords.buckets), subwords.shortest, subwords.longest)
    f.write(struct.pack("<12id", dim, 5, 5, 1, 5, 1, _NEGATIVE_SAMPLING, _SKIP_GRAM, *lengths, 100, 1e-4))
    f.write(struct.pack("<3i2q", n, n, 0, sum(counts), -1))
    for start in range(0, n, _ROWS):
        entries = zip(names[start : start + _ROWS], counts[start : start + _ROWS], strict=True)
        f.write(b"".join(b"%b\0%b" % (name, struct.pack("<qb", count, 0)) for name, count in entries))
    f.write(struct.pack("<?2q", False, n + lengths[0], dim))
    for start, stop in _blocks(names):
        f.write(_own(names[start:stop], table.vectors[start:stop], subwords).tobytes())
    for start in range(0, lengths[0], _ROWS):
        f.write(np.asarray(subwords.buckets[start : start + _ROWS], "<f4").tobytes())
    f.write(struct.pack("<?2q", False, n, dim))
    for start in range(0, n, _ROWS):
        f.write(bytes(4 * dim * (min(start + _ROWS, n) - start)))


def _blocks(words: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """(first, last + 1) of the words whose n-grams are looked up together."""
    start = 0
    while start < len(words):
        stop, room = start + 1, _AT_ONCE - len(words[start])
        while stop < len(words) and room > 0:
            room -= len(words[stop])
            stop += 1
        yield start, stop
        start = stop


def _own(words: list[bytes], means: np.ndarray, subwords: Subwords) -> np.ndarray:
    """The words' own rows, float32 [n, D], of which `_means` makes `means` but for rounding."""
    block = np.array(means, np.float64)
    some = [i for i, word in enumerate(words) if word != END.encode()]
    sums, count = subwords.sums([words[i] for i in some])
    block[some] = block[some] * (count + 1)[:, None] - sums
    return block.astype("<f4")


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
