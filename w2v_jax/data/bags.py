"""Documents in fixed shapes for compiled sweeps: batches of tiles, so that one program serves every document.

The documents are shuffled once and dealt into batches of `tiles` tiles with about the same content each. A tile is the
unit of a device: what a tile gives does not depend on which device computes it, nor on how many there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

SEGMENT = 16  # distinct words of a row: a longer document has several rows, and 8 places are empty in the mean


class Bags(NamedTuple):
    """Distinct words with their counts: B batches, G tiles, D documents and S segments a tile, C words a segment."""

    words: np.ndarray  # int32 [B, G, S, C], 0 where count is 0
    counts: np.ndarray  # float32 [B, G, S, C]
    slot: np.ndarray  # int32 [B, G, S], the place of the segment's document in its tile, rising; D: of none
    ids: np.ndarray  # int32 [B, G, D], the number of the document; N, the number of documents: of none
    tokens: np.ndarray  # float32 [B, G, D], the document's tokens


class Streams(NamedTuple):
    """Tokens one by one: tokens of a document stand in different phases, as far as T phases allow."""

    words: np.ndarray  # int32 [B, G, T, M]
    slot: np.ndarray  # int32 [B, G, T, M], the place of the document in its tile; D: no token
    documents: int  # D


def deal(sizes: np.ndarray, batch: int, tiles: int, seed: int) -> list[list[np.ndarray]]:
    """Documents of at least one token, in batches of tiles: the numbers of a tile's documents, int64.

    Args:
      sizes: int [N], what a document takes up in a tile; 0: it is left out.
      batch: documents per batch; 0: all in one.
      tiles: G; every batch has as many, some of which may be empty.
      seed: of the shuffling.
    """
    known = np.flatnonzero(sizes)
    order = np.random.default_rng(seed).permutation(known)
    parts = max(1, round(len(order) / batch)) if batch else 1
    dealt = []
    for some in np.array_split(order, parts):
        longest_first = some[np.argsort(-sizes[some], kind="stable")]
        rounds = np.arange(len(some)) // tiles
        place = np.arange(len(some)) % tiles
        place = np.where(rounds % 2, tiles - 1 - place, place)  # to and fro, so that no tile gets the longest of each
        dealt.append([longest_first[place == tile] for tile in range(tiles)])
    return dealt


def bags(rows: sp.csr_matrix, dealt: list[list[np.ndarray]]) -> Bags:
    """The documents `dealt` of word counts [N, V], each as segments of `SEGMENT` distinct words."""
    distinct = np.diff(rows.indptr)
    segments = -(-distinct // SEGMENT)
    deepest = max(1, max(int(segments[tile].sum()) for batch in dealt for tile in batch))
    most = max(1, max(len(tile) for batch in dealt for tile in batch))
    shape = (len(dealt), len(dealt[0]))
    words = np.zeros((*shape, deepest * SEGMENT), np.int32)
    counts = np.zeros((*shape, deepest * SEGMENT), np.float32)
    slot = np.full((*shape, deepest), most, np.int32)
    ids = np.full((*shape, most), rows.shape[0], np.int32)
    tokens = np.zeros((*shape, most), np.float32)
    total = np.asarray(rows.sum(1)).ravel()
    for b, g in np.ndindex(*shape):
        tile = dealt[b][g]
        at, length = _places(rows.indptr, tile)
        first = SEGMENT * (np.cumsum(segments[tile]) - segments[tile])
        to = np.repeat(first, length) + at - np.repeat(rows.indptr[tile], length)
        words[b, g, to], counts[b, g, to] = rows.indices[at], rows.data[at]
        slot[b, g, : segments[tile].sum()] = np.repeat(np.arange(len(tile)), segments[tile])
        ids[b, g, : len(tile)], tokens[b, g, : len(tile)] = tile, total[tile]
    shape4 = (*shape, deepest, SEGMENT)
    return Bags(words.reshape(shape4), counts.reshape(shape4), slot, ids, tokens)


def streams(part: Any, dealt: list[list[np.ndarray]], phases: int) -> Streams:
    """The tokens of a split's documents `dealt`. Token i of a tile, its documents end to end, stands in phase
    i mod `phases`: a document of at most so many tokens has no two in one phase."""
    offsets = np.asarray(part.offsets, np.int64)
    lengths = np.diff(offsets)
    deepest = max(1, max(-(-int(lengths[tile].sum()) // phases) for batch in dealt for tile in batch))
    most = max(1, max(len(tile) for batch in dealt for tile in batch))
    shape = (len(dealt), len(dealt[0]))
    words = np.zeros((*shape, deepest * phases), np.int32)
    slot = np.full((*shape, deepest * phases), most, np.int32)
    everything = np.asarray(part.tokens)
    for b, g in np.ndindex(*shape):
        tile = dealt[b][g]
        at, length = _places(offsets, tile)
        words[b, g, : len(at)] = everything[at]
        slot[b, g, : len(at)] = np.repeat(np.arange(len(tile)), length)

    def by_phase(x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x.reshape(*shape, deepest, phases).swapaxes(2, 3))

    return Streams(by_phase(words), by_phase(slot), most)


def _places(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the entries of some rows stand, row after row, int64; and how many each row has."""
    length = offsets[rows + 1] - offsets[rows]
    ends = np.cumsum(length)
    return np.arange(int(length.sum())) + np.repeat(offsets[rows] - ends + length, length), length
