"""New documents in segments, for the inference of their vectors: each document by itself, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2v_jax.data.hashing import key_of, thresholds, uniform_hash
from w2v_jax.types import HostBatch

_KEEP, _REACH = 4, 5  # what a hash is drawn for, beyond those of `blocks`


def chunks_of(
    texts: Sequence[np.ndarray], keep: np.ndarray, window: int, segment: int, names: np.ndarray, number: int
) -> HostBatch:
    """Pass `number` over B documents: M batches of one segment each, with the entries of `blocks.window_source`.

    Args:
      texts: token ids of each document, int32 [T_b].
      keep: float64 [V], probability with which each word is kept.
      window, segment: W and L.
      names: int64 [B], 0 to 2**31 - 1: the draws of a document depend on its name, the pass and nothing else.

    Returns arrays [M, B, ...], where M holds the longest document. Row b is document b; 'words' are
    zero. Beyond the end of a document 'doc' is -1.
    """
    sizes = np.array([len(text) for text in texts], np.int64)
    flat = np.concatenate([*texts, np.zeros(0, np.int32)]).astype(np.int64)
    owner = np.repeat(np.arange(len(texts)), sizes)
    place = np.arange(len(flat)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    index = (names[owner] * 0x9E3779B1 + place) & 0xFFFFFFFF
    if (keep < 1).any():
        kept = uniform_hash(key_of(0, number, _KEEP), index) <= thresholds(keep)[flat]
        flat, owner, index = flat[kept], owner[kept], index[kept]
    counts = np.bincount(owner, minlength=len(texts))
    place = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    steps = max(1, -(-int(counts.max(initial=0)) // segment))
    shape = (len(texts), steps * segment + 2 * window)
    tokens, doc, reach = np.zeros(shape, np.int32), np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
    at = (owner, window + place)
    tokens[at], doc[at] = flat, owner
    drawn = uniform_hash(key_of(0, number, _REACH), index).astype(np.uint64)
    reach[at] = ((drawn * np.uint64(window)) >> np.uint64(32)).astype(np.int32) + 1
    wide = np.arange(steps)[:, None] * segment + np.arange(segment + 2 * window)
    batch = {"tokens": tokens[:, wide], "doc": doc[:, wide], "reach": reach[:, wide[:, window : window + segment]]}
    batch["document"] = np.broadcast_to(np.arange(len(texts))[:, None, None], batch["reach"].shape)
    batch["words"] = np.zeros((len(texts), steps), np.int32)
    return {name: np.ascontiguousarray(np.swapaxes(x, 0, 1)).astype(np.int32) for name, x in batch.items()}
