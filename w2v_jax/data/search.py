"""Search among documents: the highest products of sparse rows, without a score for every pair."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

_SCORES = 1 << 24  # of one block of queries at most


class Hits(NamedTuple):
    """The documents found for one query, the best first; of equal scores the earlier document."""

    documents: np.ndarray  # int64 [K]
    scores: np.ndarray  # float32 [K]


def inverted(rows: sp.csr_matrix) -> sp.csr_matrix:
    """The index of documents [N, V]: for every word the documents that hold it, csr [V, N]."""
    return rows.T.tocsr()


def best(index: sp.csr_matrix, queries: sp.csr_matrix, top: int) -> list[Hits]:
    """The `top` documents with the highest products with each query.

    With `unit` rows on both sides the products are cosines; with `bm25` rows in the index and counts as queries they
    are BM25 scores (`w2v_jax.data.weighting`).

    Args:
      index: of `inverted`, [V, N].
      queries: csr [Q, V].
      top: K at most. A document that shares no word with a query scores 0 and is never found, so a query without a
        known word finds none.

    Returns:
      Q hits. Memory is bounded by a block of queries: at most 2**24 scores, or one query's N.
    """
    block = max(1, _SCORES // max(index.shape[1], 1))
    found: list[Hits] = []
    for start in range(0, queries.shape[0], block):
        scores = (queries[start : start + block] @ index).tocsr()
        for row in range(scores.shape[0]):
            part = slice(scores.indptr[row], scores.indptr[row + 1])
            found.append(_top(scores.indices[part].astype(np.int64), scores.data[part], top))
    return found


def best_dense(documents: np.ndarray, query: np.ndarray, top: int) -> Hits:
    """The `top` documents with the highest cosine with one query: float32 [N, D], [D]. A vector of zeros, that of a
    document without a known word, is never found and finds none."""
    norms = np.linalg.norm(documents, axis=1) * np.linalg.norm(query)
    there = np.flatnonzero(norms > 0.0)
    cosines = (documents[there] @ query) / norms[there]
    return _top(there, cosines.astype(np.float32), top, positive=False)


def _top(ids: np.ndarray, scores: np.ndarray, top: int, positive: bool = True) -> Hits:
    if positive:
        ids, scores = ids[scores > 0.0], scores[scores > 0.0]
    if len(ids) > top:  # all that reach the K-th score, so that ties are told by the document alone
        least = np.partition(scores, len(scores) - top)[len(scores) - top]
        ids, scores = ids[scores >= least], scores[scores >= least]
    order = np.lexsort((ids, -scores))[:top]
    return Hits(ids[order], scores[order])
