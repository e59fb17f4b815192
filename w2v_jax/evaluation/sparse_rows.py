"""Sparse vectors, such as rows of PPMI, for the tests of word vectors: only cosines are computed, never the whole."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from w2v_jax.embeddings import Embeddings


class SparseRows(Embeddings):
    """V words with the rows of a scipy csr matrix float32 [V, N], for `similarity` and `analogies`.

    The rows of the words that a test asks for are made dense, 4 N bytes each: all words of the Google analogies and
    100,000 contexts take 360 MB.
    """

    def __init__(self, words: Sequence[str], matrix: Any) -> None:
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "vectors", matrix)
        object.__setattr__(self, "counts", None)
        object.__setattr__(self, "subwords", None)

    @functools.cached_property
    def norms(self) -> np.ndarray:
        """Euclidean lengths, float32 [V]."""
        matrix: Any = self.vectors
        return np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), np.float32).ravel())

    def head(self, n: int) -> SparseRows:
        """The first n words only."""
        return SparseRows(self.words[:n], self.vectors[:n])

    def unit(self, rows: np.ndarray | slice) -> Any:
        """Rows scaled to length 1, csr [n, N]; a row of zeros stays."""
        import scipy.sparse as sp

        norms = self.norms[rows]
        return sp.csr_matrix(sp.diags_array(1 / np.where(norms > 0, norms, 1)) @ self.vectors[rows])

    def paired_cosines(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See `Embeddings.paired_cosines`."""
        return np.asarray(self.unit(first).multiply(self.unit(second)).sum(axis=1)).ravel()

    def cosines(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See `Embeddings.cosines`."""
        dense = np.ascontiguousarray(self.unit(first).toarray().T, np.float32)
        return np.ascontiguousarray((self.unit(second) @ dense).T, np.float32)
