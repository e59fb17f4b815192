"""Weights of words in documents, as functions of sparse rows of counts: shares, TF-IDF, log-entropy, BM25.

Rows are scipy csr matrices [N, V], see `w2v_jax.data.documents`. Every function returns new float32 rows with the same
places; a document without a known word is an empty row before and after, never NaN. With c the count of a word in a
document, n the documents that hold the word, and N all documents, empty ones included:

  shares       c / (sum of the document's counts)
  TF-IDF       c (ln((1 + N) / (1 + n)) + 1), or (1 + ln c) in place of c; rows then scaled to length 1
  log-entropy  ln(1 + c) (1 + sum over documents of p ln p / ln N), p = c / (the word's count in all documents)
  BM25         c (k1 + 1) / (c + k1 (1 - b + b length / mean length)) ln(1 + (N - n + 1/2) / (n + 1/2))
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp


class Collection(NamedTuple):
    """What weights need to know of all documents."""

    documents: int  # N, empty ones included
    empty: int  # of them without a known word
    tokens: int  # sum of all counts
    frequencies: np.ndarray  # int64 [V], n: the documents that hold a word
    counts: np.ndarray  # float64 [V], a word's count in all documents
    sums: np.ndarray  # float64 [V], sum over documents of c ln c

    @property
    def mean_length(self) -> float:
        """Tokens of a document in the mean."""
        return self.tokens / max(self.documents, 1)


def collection(parts: Iterable[sp.csr_matrix], vocab_size: int) -> Collection:
    """The statistics of documents that come in parts, csr [N_i, V] each."""
    documents, empty = 0, 0
    frequencies, counts, sums = np.zeros(vocab_size, np.int64), np.zeros(vocab_size), np.zeros(vocab_size)
    for rows in parts:
        documents += rows.shape[0]
        empty += int((np.diff(rows.indptr) == 0).sum())
        held = rows.data.astype(np.float64)
        frequencies += np.bincount(rows.indices, minlength=vocab_size)
        counts += np.bincount(rows.indices, held, vocab_size)
        sums += np.bincount(rows.indices, held * np.log(held), vocab_size)
    return Collection(documents, empty, round(counts.sum()), frequencies, counts, sums)


def shares(rows: sp.csr_matrix) -> sp.csr_matrix:
    """Each count as its share of the document's (L1 norm 1)."""
    sums = np.asarray(rows.sum(1), np.float64).ravel()
    return _scaled(rows, rows.data.astype(np.float64), sums)


def unit(rows: sp.csr_matrix) -> sp.csr_matrix:
    """Rows of length 1 (L2): their products are cosines."""
    data = rows.data.astype(np.float64)
    squares = np.bincount(_row_of(rows), data**2, rows.shape[0])
    return _scaled(rows, data, np.sqrt(squares))


def inverse_frequency(seen: Collection) -> np.ndarray:
    """ln((1 + N) / (1 + n)) + 1, float32 [V]; as scikit-learn's TfidfTransformer with smooth_idf."""
    return (np.log((1.0 + seen.documents) / (1.0 + seen.frequencies)) + 1.0).astype(np.float32)


def tfidf(rows: sp.csr_matrix, weights: np.ndarray, sublinear: bool = False) -> sp.csr_matrix:
    """TF-IDF by `inverse_frequency` [V], rows of length 1 (Salton and Buckley 1988). `sublinear` takes 1 + ln c."""
    data = rows.data.astype(np.float64)
    data = (1.0 + np.log(data) if sublinear else data) * weights[rows.indices]
    return unit(_with(rows, data))


def entropy(seen: Collection) -> np.ndarray:
    """1 + sum over documents of p ln p / ln N, float32 [V]: 1 for a word of one document, 0 for one spread evenly over
    all. It is 1 for every word where there is one document."""
    if seen.documents < 2:
        return np.ones(len(seen.counts), np.float32)
    total = np.maximum(seen.counts, 1.0)
    spread = seen.sums / total - np.log(total)  # sum of p ln p
    return np.clip(1.0 + spread / np.log(seen.documents), 0.0, 1.0).astype(np.float32)


def log_entropy(rows: sp.csr_matrix, weights: np.ndarray) -> sp.csr_matrix:
    """ln(1 + c) times `entropy` [V] (Dumais 1991)."""
    return _with(rows, np.log1p(rows.data.astype(np.float64)) * weights[rows.indices])


def bm25(rows: sp.csr_matrix, seen: Collection, k1: float = 1.2, b: float = 0.75) -> sp.csr_matrix:
    """Robertson's weights: the score of a document for a query is the sum over the query's words, that is the product
    of the query's counts and this row. The document weight is ln(1 + (N - n + 1/2) / (n + 1/2)), which is never
    negative; Robertson's own, without the 1, is for words in more than half of the documents.

    Robertson and Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond".
    """
    count, n = rows.data.astype(np.float64), seen.frequencies[rows.indices]
    length = np.asarray(rows.sum(1), np.float64).ravel() / max(seen.mean_length, 1e-9)
    saturated = count * (k1 + 1.0) / (count + k1 * (1.0 - b + b * length[_row_of(rows)]))
    return _with(rows, saturated * np.log1p((seen.documents - n + 0.5) / (n + 0.5)))


def _row_of(rows: sp.csr_matrix) -> np.ndarray:
    """The row of every stored number."""
    return np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))


def _with(rows: sp.csr_matrix, data: np.ndarray) -> sp.csr_matrix:
    return sp.csr_matrix((data.astype(np.float32), rows.indices, rows.indptr), rows.shape)


def _scaled(rows: sp.csr_matrix, data: np.ndarray, sizes: np.ndarray) -> sp.csr_matrix:
    """Each row divided by its size; a row of size 0 stays as it is."""
    return _with(rows, data / np.where(sizes == 0.0, 1.0, sizes)[_row_of(rows)])
