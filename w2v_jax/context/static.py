"""Words in context by word vectors alone: the vector of the word, and means of the vectors around it.

    layer 0    v_t
    layer 1    (1 / n) sum over s in the window of v_s
    layer 2    (1 / n) sum over s in the window of a / (a + p_s) v_s

The window is W words before and after the word, without it; n are those of them that have a vector. p_s is the share of
word s in the training text. Layer 1 is the context vector of Schütze 1998 (Computational Linguistics 24) with dense
word vectors; the weights of layer 2 are those of Arora, Liang and Ma 2017 (ICLR, smooth inverse frequency).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from w2v_jax.context.cut import Cut

NAMES = ("word vectors", "window mean", "weighted window mean")
SMOOTH = 1e-3  # a, as published


def layers(
    vectors: np.ndarray, counts: np.ndarray, targets: Sequence[tuple[Cut, int]], window: int
) -> list[np.ndarray]:
    """The three layers of N targets, float32 [N, D]; zeros where no word has a vector.

    Args:
      vectors: float32 [V, D].
      counts: int64 [V], of the words in the training text.
      targets: (text, index of the word) of each target.
      window: W.
    """
    own, around = (_csr([_ids(cut, place, reach) for cut, place in targets], len(vectors)) for reach in (0, window))
    share = counts / max(1, counts.sum())
    weight = sp.diags((SMOOTH / (SMOOTH + share)).astype(np.float32))
    return [_mean(own, own, vectors), _mean(around, around, vectors), _mean(around @ weight, around, vectors)]


def _ids(cut: Cut, place: int, reach: int) -> np.ndarray:
    """Tokens of the word, or of the words up to `reach` before and after it."""
    if not reach:
        return cut.ids[place]
    near = [*cut.ids[max(0, place - reach) : place], *cut.ids[place + 1 : place + 1 + reach]]
    return np.concatenate([*near, np.zeros(0, np.int32)])


def _csr(rows: list[np.ndarray], size: int) -> sp.csr_matrix:
    """Counts of tokens, float32 [N, V]."""
    bounds = np.cumsum([0, *map(len, rows)])
    columns = np.concatenate([*rows, np.zeros(0, np.int32)])
    out = sp.csr_matrix((np.ones(len(columns), np.float32), columns, bounds), (len(rows), size))
    out.sum_duplicates()
    return out


def _mean(rows: sp.csr_matrix, counted: sp.csr_matrix, vectors: np.ndarray) -> np.ndarray:
    sums = np.asarray(rows @ vectors, np.float32)
    return sums / np.maximum(np.asarray(counted.sum(1), np.float32).reshape(-1, 1), 1.0)
