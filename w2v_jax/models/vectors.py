"""Word vectors from the outside as the start of a model's embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.formats import read


def start_vectors(path: str, words: Sequence[str] | None, dim: int, padded: int, scale: float) -> np.ndarray:
    """Word vectors of a file in the order of a vocabulary, float32 [padded, dim].

    Words that the file does not have get vectors uniform on [-scale, scale], drawn from the word's place; padding rows
    are 0. Without words (`Words` that stand in for a text) all are 0: the file is checked and the shape is right.

    Raises:
      UserError: no such file, damaged, another dimension, no word in common.
    """
    names, matrix, _ = read(path, limit=0, binary=None, encoding_errors="strict", mmap=False, counts=None)
    if matrix.shape[1] != dim:
        raise UserError(f"model.vectors={path}: has {matrix.shape[1]} dimensions, model.dim={dim}")
    if words is None:
        return np.zeros((padded, dim), np.float32)
    index = {w: i for i, w in enumerate(names)}
    found = np.array([index.get(w, -1) for w in words])
    if not (found >= 0).any():
        raise UserError(f"model.vectors={path}: holds none of the {len(words)} words of the vocabulary")
    out = np.random.default_rng(0).uniform(-scale, scale, (padded, dim)).astype(np.float32)
    out[: len(words)][found >= 0] = matrix[found[found >= 0]]
    out[len(words) :] = 0.0
    return out
