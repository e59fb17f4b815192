"""Batches of pairs of words and their co-occurrence counts: a pure function of (seed, step).

Epoch e goes through all pairs with a count above 0 in an order drawn from (seed, e). The order is computed place by
place, and so is not held in memory; the counts are read from their mapped files.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
import numpy as np

from w2v_jax.data.cooccurrence import Cooccurrences
from w2v_jax.data.hashing import key_of
from w2v_jax.data.order import shuffled_at
from w2v_jax.data.pipeline import Source
from w2v_jax.types import HostBatch

_ORDER = 5  # what a permutation is drawn for, beside those of `w2v_jax.data.blocks`


def count_source(
    counts: Cooccurrences,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    *,
    seed: int,
    shuffle: bool,
    scale: float = 1.0,
) -> Source:
    """Batches of B pairs; `shapes` states B.

    Entries of a step: word and context int32 [B]; count float32 [B], `scale` times X_ij, or 0 where there is no pair;
    words int32 [B], the row's share of the text, so that an epoch adds up to the tokens that were counted.

    Every pair occurs once an epoch: (i, j) and (j, i) where contexts are on both sides. There i = j takes two places,
    the second of them empty. `Source.report` has 'pairs', the places.
    """
    batch, pairs = shapes["word"].shape[0], counts.entries * (2 if counts.symmetric else 1)
    write = partial(_write, counts, pairs, batch, seed, shuffle, scale)
    return Source(shapes, max(1, -(-pairs // batch)), write, {}, {"pairs": pairs})


def _write(
    counts: Cooccurrences,
    pairs: int,
    batch: int,
    seed: int,
    shuffle: bool,
    scale: float,
    epoch: int,
    at: int,
    rows: slice,
    into: HostBatch,
) -> None:
    """`Source.write`."""
    steps, share = into["word"].shape
    places = (at + np.arange(steps))[:, None] * batch + np.arange(rows.start, rows.start + share)
    there = places < pairs
    place = places[there]
    if not len(place):
        return
    tokens = int(counts.report["tokens"])
    into["words"][there] = (place + 1) * tokens // pairs - place * tokens // pairs
    if shuffle and pairs > 1:
        place = shuffled_at(place, pairs, key_of(seed, epoch, _ORDER))
    turned = place >= counts.entries
    first, second, value = counts.read(place - turned * counts.entries)
    into["word"][there] = np.where(turned, second, first)
    into["context"][there] = np.where(turned, first, second)
    into["count"][there] = np.where(turned & (first == second), 0, scale * value)
