"""Documents as rows of word counts: what counting models read. The rows are sparse; nothing of size [N, V] is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp


def counts(part: Any, vocab_size: int, start: int = 0, stop: int | None = None) -> sp.csr_matrix:
    """How often each word stands in each of the documents `start` to `stop - 1` of a split.

    Args:
      part: a split of a text, with `tokens` int [T] and `offsets` int [N + 1]; document i is
        tokens[offsets[i]:offsets[i + 1]].
      vocab_size: V, the number of columns.
      start, stop: the documents; all of them by default.

    Returns:
      int32 [stop - start, V], columns of a row sorted, no zero stored. A document without a known word is an empty row.
    """
    offsets = np.asarray(part.offsets)
    stop = len(offsets) - 1 if stop is None else min(stop, len(offsets) - 1)
    bounds = np.asarray(offsets[start : stop + 1], np.int64)
    if len(bounds) < 2:
        return sp.csr_matrix((0, vocab_size), dtype=np.int32)
    tokens = np.array(part.tokens[bounds[0] : bounds[-1]], np.int32)  # a copy: duplicates are summed in place
    rows = sp.csr_matrix((np.ones(len(tokens), np.int32), tokens, bounds - bounds[0]), (len(bounds) - 1, vocab_size))
    rows.sum_duplicates()
    return rows


def blocks(part: Any, vocab_size: int, tokens: int = 1 << 22) -> Iterator[tuple[int, sp.csr_matrix]]:
    """(first document, `counts`) of runs of whole documents of about `tokens` tokens, so that memory is bounded by them
    and by the longest document."""
    offsets = np.asarray(part.offsets)
    start, documents = 0, len(offsets) - 1
    while start < documents:
        stop = int(np.searchsorted(offsets, offsets[start] + tokens, "right")) - 1
        stop = min(max(stop, start + 1), documents)
        yield start, counts(part, vocab_size, start, stop)
        start = stop


def means(rows: sp.csr_matrix, vectors: np.ndarray) -> np.ndarray:
    """The mean vector of the words of each document, float32 [N, D]: counts [N, V] times `vectors` [V, D], divided by
    the number of words. Zeros for a document without a known word."""
    sums = np.asarray(rows.astype(np.float32) @ np.asarray(vectors, np.float32), np.float32)
    return sums / np.maximum(np.asarray(rows.sum(1), np.float32).reshape(-1, 1), 1.0)
