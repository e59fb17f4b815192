"""Vectors of words in context: mixtures of layers, what all of them share removed, thresholds of their cosines.

Vectors are rows of float [N, D]. A row of zeros, of a word that was not read, stays zero in mixtures and changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.errors import UserError


def unit(rows: np.ndarray) -> np.ndarray:
    """x / |x| of each row, float32 [N, D]."""
    rows = np.asarray(rows, np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)


def mixed(layers: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """sum_l w_l x_l / |x_l|, float32 [N, D], of L layers [N, D]. Rows are put to one length first, because states grow
    from layer to layer.

    UserError: not a weight for each layer, or layers of other widths among those with a weight.
    """
    if len(layers) != len(weights):
        raise UserError(f"{len(weights)} weights for {len(layers)} layers: give one for each")
    used = [(layer, float(weight)) for layer, weight in zip(layers, weights, strict=True) if weight]
    widths = {layer.shape[1] for layer, _ in used}
    if len(widths) != 1:
        what = f"of widths {sorted(widths)}" if widths else "all of weight 0"
        raise UserError(f"layers {what}: a mixture needs layers of one width")
    out = np.zeros_like(used[0][0], np.float32)
    for layer, weight in used:
        out += np.float32(weight) * unit(layer)
    return out


def beside(parts: Sequence[np.ndarray]) -> np.ndarray:
    """[x_1 / |x_1|, ..., x_P / |x_P|] / sqrt(P), float32 [N, D_1 + ... + D_P]: a cosine is the mean of the cosines of
    the parts."""
    return np.concatenate([unit(part) for part in parts], axis=1) / np.float32(np.sqrt(len(parts)))


# ---- what all vectors share ----

WAYS = ("as is", "centred", "whitened")
SHRINK = 0.1  # of the mean variance, added to each before whitening


class Change(NamedTuple):
    """x -> (x - mean) W, then to unit length; a row of zeros, of a word that was not read, stays zero."""

    mean: np.ndarray  # float64 [D]
    matrix: np.ndarray | None  # W, float64 [D, D]; None: the identity

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """float32 [N, D]."""
        moved = np.asarray(rows, np.float64) - self.mean[None]
        out = unit(moved if self.matrix is None else moved @ self.matrix)
        out[~np.asarray(rows).any(1)] = 0.0
        return out


def change(reference: np.ndarray, way: str) -> Change:
    """What is done to vectors, from a reference of unlabelled ones, float [N, D], whose rows of zeros do not count.

    'as is' leaves them, 'centred' takes off the mean of the reference (Mu and Viswanath 2018, ICLR), 'whitened' then
    makes its variance the same in every direction: W = U (S + e)^(-1/2), with U S U^T the covariance and e a tenth of
    its mean variance, which keeps directions that hardly vary from taking over.
    """
    rows = np.asarray(reference, np.float64)
    if way == "as is":
        return Change(np.zeros(rows.shape[1]), None)
    there = rows.any(1)
    rows = rows[there] if there.any() else rows
    mean = rows.mean(0)
    if way == "centred":
        return Change(mean, None)
    moved = rows - mean[None]
    values, vectors = np.linalg.eigh(moved.T @ moved / len(rows))
    values = np.maximum(values, 0.0)
    spread = np.sqrt(values + SHRINK * values.mean())
    return Change(mean, vectors / np.where(spread > 0, spread, 1.0)[None])


# ---- pairs ----


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of rows [N, D] and [N, D], float64 [N]; 0 where either is zero."""
    return np.einsum("nd,nd->n", unit(first).astype(np.float64), unit(second).astype(np.float64))


def best_threshold(values: np.ndarray, same: np.ndarray) -> tuple[float, float]:
    """(threshold t, accuracy) for which `values >= t` agrees best with `same`, bool [N]; half-way between two values,
    and the highest of equally good ones. -inf where saying SAME of all is best."""
    order = np.argsort(-values, kind="stable")
    sorted_values, hits = values[order], same[order]
    right = np.concatenate([[0], np.cumsum(hits)]) + np.concatenate([np.cumsum(~hits[::-1])[::-1], [0]])
    cut = np.concatenate([[True], sorted_values[:-1] > sorted_values[1:], [True]])  # only between different values
    place = int(np.where(cut, right, -1).argmax())
    if place == len(values):
        return -np.inf, float(right[place] / len(values))
    above = sorted_values[place - 1] if place else sorted_values[0] + 1.0
    return float((above + sorted_values[place]) / 2.0), float(right[place] / len(values))
