"""Vectors of words in context: mixtures of layers.

Vectors are rows of float [N, D]. A row of zeros, of a word that was not read, stays zero.
"""

from __future__ import annotations

from collections.abc import Sequence

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
