"""Word vectors from the outside as the start of a model's embedding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from w2v_jax.data import bpe
from w2v_jax.data.raw import stamp_of
from w2v_jax.errors import UserError
from w2v_jax.formats import Table, read


def read_vectors(path: str) -> Table:
    """The words and vectors of a file, read-only. The file is read again only when it has changed.

    The process keeps one table, that of the file asked for last: models that begin with the same vectors read them
    once, and memory holds that table beside what each model makes of it.

    Raises:
      UserError: see `w2v_jax.embeddings.load`.
    """
    files = sorted(Path(path).iterdir()) if Path(path).is_dir() else [Path(path)]
    return _read(path, stamp_of([(str(f), f.stat()) for f in files if f.exists()])[0])


@lru_cache(maxsize=1)
def _read(path: str, stamp: str) -> Table:
    table = read(path, limit=0, binary=None, encoding_errors="strict", mmap=False, counts=None)
    table.vectors.flags.writeable = False
    return table


def start_vectors(path: str, words: Sequence[str] | None, dim: int, padded: int, scale: float) -> np.ndarray:
    """Word vectors of a file in the order of a vocabulary, float32 [padded, dim].

    Words that the file does not have get vectors uniform on [-scale, scale], drawn from the word's place; padding rows
    are 0. Without words (`Words` that stand in for a text) all are 0: the file is checked and the shape is right.

    Raises:
      UserError: no such file, damaged, another dimension, no word in common.
    """
    names, matrix, _ = read_vectors(path)
    if matrix.shape[1] != dim:
        raise UserError(f"model.vectors={path}: has {matrix.shape[1]} dimensions, model.dim={dim}")
    if words is None:
        return np.zeros((padded, dim), np.float32)
    index = {w: i for i, w in enumerate(names)}
    # Vectors of byte pairs bear the names that people are shown; older files bear the tokens themselves.
    rows = (np.array([index.get(w, -1) for w in form]) for form in (words, bpe.all_shown(words)))
    found = max(rows, key=lambda row: int((row >= 0).sum()))
    if not (found >= 0).any():
        raise UserError(f"model.vectors={path}: holds none of the {len(words)} words of the vocabulary")
    out = np.random.default_rng(0).uniform(-scale, scale, (padded, dim)).astype(np.float32)
    out[: len(words)][found >= 0] = matrix[found[found >= 0]]
    out[len(words) :] = 0.0
    return out
