"""Vectors of words from those of their character n-grams, as fastText has them (Bojanowski et al. 2017).

The n-grams of `<word>`, with its two marks, are hashed into K buckets by 32-bit FNV-1a. As in fastText, a byte of 128
or more counts as a negative number, and a mark alone is no n-gram.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_START, _PRIME = np.uint32(2166136261), np.uint32(16777619)
END = "</s>"  # has no n-grams


class Subwords(NamedTuple):
    """Vectors of the buckets, float32 [K, D] (may be a map), and the lengths of n-grams in characters."""

    buckets: np.ndarray
    shortest: int
    longest: int

    def sums(self, words: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the vectors of each word's n-grams, float32 [n, D], and how many there are, int64 [n]."""
        found, owner = ngrams(words, self.shortest, self.longest)
        count = np.bincount(owner, minlength=len(words))
        out = np.zeros((len(words), self.buckets.shape[1]), np.float32)
        if len(found):
            some = np.flatnonzero(count)
            first = (np.cumsum(count) - count)[some]
            rows = (found % np.uint32(len(self.buckets))).astype(np.int64)
            out[some] = np.add.reduceat(self.buckets[rows], first, axis=0)
        return out, count

    def vector(self, word: str) -> np.ndarray | None:
        """The mean of a word's n-grams, float32 [D]; None for a word without any, or with a NaN in one."""
        if word == END:
            return None
        (total,), (count,) = self.sums([word.encode("utf-8", "surrogateescape")])
        return total / np.float32(count) if count and np.isfinite(total).all() else None


def ngrams(words: Sequence[bytes], shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash of every n-gram, uint32, and the place of its word in `words`, int64, in the order of the words.

    The n-grams of all words grow together, by one character a turn.
    """
    data = np.frombuffer(b"".join(b"<%b>" % word for word in words), np.uint8)
    sizes = np.array([len(word) + 2 for word in words], np.int64)
    ends = np.cumsum(sizes)
    inner = np.append((data & 0xC0) == 0x80, False)  # bytes that continue a character
    signed = data.view(np.int8).astype(np.int32).view(np.uint32)
    first = np.flatnonzero(~inner[:-1])
    owner = np.repeat(np.arange(len(words)), sizes)[first]
    hashes, place, live = np.full(len(first), _START), first.copy(), np.arange(len(first))
    found, owners = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    for n in range(1, longest + 1):
        turn = live
        while len(turn):  # the first byte of the next character, then those that continue it
            hashes[turn] = (hashes[turn] ^ signed[place[turn]]) * _PRIME
            place[turn] += 1
            turn = turn[(place[turn] < ends[owner[turn]]) & inner[place[turn]]]
        at_end = place[live] == ends[owner[live]]
        if n >= shortest:
            mark = (n == 1) & (at_end | (first[live] == (ends - sizes)[owner[live]]))
            found.append(hashes[live[~mark]])
            owners.append(owner[live[~mark]])
        live = live[~at_end]
        if not len(live):
            break
    order = np.argsort(np.concatenate(owners), kind="stable")
    return np.concatenate(found)[order], np.concatenate(owners)[order]
