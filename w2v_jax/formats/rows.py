"""What every reader of word vectors collects: rows with their words, counted where they are left out."""

from __future__ import annotations

import array
import base64
import binascii
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.formats.subwords import Subwords

MARK = b"\xef\xbb\xbf"  # the byte-order mark of UTF-8, which is no part of the text
MAX_DIM = 1_000_000
MAX_WORDS = 1 << 32
# Bytes of one word, for reading and for writing: no text gives a longer one, as it may have 2**24 characters without
# white space.
MAX_WORD = 1 << 26
# Why bytes of numbers are read as a word.
MISREAD = "a blank in the word before, another dimension than the header's, or not float32"
_ENCODED = "B64:"  # what DL4J writes before the base64 of each word


class Table(NamedTuple):
    """V words, vectors float32 [V, D], counts int64 [V] where the file has them, and what makes unseen words."""

    words: Sequence[str]
    vectors: np.ndarray
    counts: np.ndarray | None
    subwords: Subwords | None = None


class Options(NamedTuple):
    """What to do with words that are not UTF-8 ('strict', 'replace' or 'ignore'), and with rows that hold a NaN."""

    errors: str = "strict"
    skip_nan: bool = False


def finite(vectors: np.ndarray) -> np.ndarray:
    """Which rows hold numbers only, bool [V]; in blocks, so that a map is not read into memory whole."""
    out = np.ones(len(vectors), bool)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(vectors), 8192):
            block = vectors[start : start + 8192]
            if not np.isfinite(block.sum()):  # a finite sum has no other terms, and takes a third of the time
                out[start : start + 8192] = np.isfinite(block).all(axis=1)
    return out


def say_skipped(path: str, good: np.ndarray, words: Sequence[str], first: str) -> None:
    """Says how many rows are left out; `first` is where the first is. UserError: none would be left."""
    if not good.any():
        raise UserError(f"{path}: every row holds a NaN, an infinity or too large a number; write the file again")
    what = "rows with a NaN, an infinity or too large a number were skipped"
    warnings.warn(f"{path}: {np.sum(~good):,} {what} ({words[int(np.argmin(good))]!r} at {first})", stacklevel=3)


class Rows:
    """Collects records, and keeps the first of each word with its place (a line or a byte)."""

    def __init__(self, path: str, unit: str, options: Options, dim: int, capacity: int) -> None:
        self.path, self.unit, self.errors, self.skip_nan = path, unit, options.errors, options.skip_nan
        self.words: list[str] = []
        self.seen: set[str] = set()
        self.places = array.array("q")
        # A packed file may expand a thousand times: start small and grow.
        capacity = min(capacity, os.path.getsize(path) // dim + 16)
        self.vectors = np.empty((capacity, dim), "<f4")
        self.repeated, self.first_repeated = 0, ""
        self.emptied, self.first_emptied = 0, 0
        self.misread = ""  # why bytes may be no word, where no line ends keep the records apart

    def fail(self, place: int, what: str) -> NoReturn:
        raise UserError(f"{self.path}: {self.unit} {place:,}: {what}")

    def add(self, word: bytes, values: np.ndarray | list[float], place: int) -> None:
        try:
            text = word.decode("utf-8", self.errors)
        except UnicodeDecodeError:
            told = f"word {word[:40]!r} is not UTF-8"
            if self.misread:
                self.fail(place, f"{told}: {self.misread}; encoding_errors=replace is for words in another encoding")
            self.fail(place, f"{told}; convert the file, or pass encoding_errors=replace")
        if not text:
            if not word:
                self.fail(place, "the word is empty")
            self.first_emptied = self.first_emptied or place
            self.emptied += 1
            return
        if text in self.seen:
            self.first_repeated = self.first_repeated or f"{text[:40]!r} at {self.unit} {place:,}"
            self.repeated += 1
            return
        n = self._make_room(1)
        self.vectors[n] = values
        self.seen.add(text)
        self.words.append(text)
        self.places.append(place)

    def add_block(self, words: list[bytes], data: bytes, starts: list[int], places: list[int]) -> None:
        """Many records of words without a blank; the D float32 of each begin at one of the bytes `starts` of `data`."""
        try:
            texts = b" ".join(words).decode("utf-8", self.errors).split(" ")
        except UnicodeDecodeError:
            texts = []
        new, dim = set(texts), self.vectors.shape[1]
        if len(new) < len(words) or "" in new or not self.seen.isdisjoint(new):  # something to say of one of them
            for word, start, place in zip(words, starts, places, strict=True):
                self.add(word, np.frombuffer(data, "<f4", dim, start), place)
            return
        at, width = self._make_room(len(words)) * 4 * dim, 4 * dim
        into, out_of = self.vectors.data.cast("B"), memoryview(data)
        for start in starts:
            into[at : at + width] = out_of[start : start + width]
            at += width
        self.seen |= new
        self.words += texts
        self.places.extend(places)

    def _make_room(self, count: int) -> int:
        """The number of rows so far, behind which there is room for so many more."""
        n = len(self.words)
        if n + count > len(self.vectors):
            grown = np.empty((n + n // 2 + 16 + count, self.vectors.shape[1]), "<f4")
            grown[:n] = self.vectors[:n]
            self.vectors = grown
        return n

    def table(self, counts: Mapping[int, int] | None = None, subwords: Subwords | None = None) -> Table:
        """The rows, without those that are left out by choice; `counts` are by place."""
        words, vectors, places = self.words, self.vectors[: len(self.words)], self.places
        if not words:
            raise UserError(f"{self.path}: no word is UTF-8, and none is left; pass encoding_errors=replace")
        good = finite(vectors)
        if not good.all():
            i = int(np.argmin(good))
            where = f"{self.unit} {places[i]:,}"
            if not self.skip_nan:
                what = "a NaN, an infinity or too large a number; skip_nan leaves such rows out"
                what += f"; or there is {self.misread}" if self.misread else ""
                self.fail(places[i], f"vector of {words[i][:40]!r}: {what}")
            say_skipped(self.path, good, words, where)
            kept = np.flatnonzero(good).tolist()
            words, vectors, places = (
                [words[i] for i in kept],
                vectors[good],
                array.array("q", [places[i] for i in kept]),
            )
        if self.repeated:
            first = f"kept the first ({self.first_repeated})"
            warnings.warn(f"{self.path}: {self.repeated:,} repeated words, {first}", stacklevel=2)
        if self.emptied:
            what = f"{self.emptied:,} words without any UTF-8 were dropped, the first at {self.unit}"
            warnings.warn(f"{self.path}: {what} {self.first_emptied:,}", stacklevel=2)
        known = None if counts is None else np.array([counts[place] for place in places], np.int64)
        return Table(_from_base64(words, self.errors), vectors, known, subwords)


def _from_base64(words: list[str], errors: str) -> list[str]:
    """The words that DL4J encoded; as they are unless all were, as a word of any text may begin with `B64:`."""
    if not all(word.startswith(_ENCODED) for word in words):
        return words
    try:
        plain = [base64.b64decode(word[len(_ENCODED) :], validate=True).decode("utf-8", errors) for word in words]
    except (binascii.Error, ValueError):
        return words
    return plain if all(plain) and len(set(plain)) == len(plain) else words
