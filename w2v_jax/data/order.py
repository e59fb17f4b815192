"""Blocks of documents, their order in an epoch, and the data path's only import of TensorFlow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np


def cut_blocks(offsets: np.ndarray, block_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """(int64 [N + 1] positions where blocks begin, bool [N] whether a block begins inside a document).

    `offsets` int64 [D + 1] are the starts of documents. A block ends at the first document that starts at or after a
    multiple of `block_tokens`; a longer document is split into pieces of that size.
    """
    total = int(offsets[-1])
    grid = np.arange(0, total, block_tokens, dtype=np.int64)
    whole = np.asarray(offsets)[np.searchsorted(offsets, grid, "left")]
    lengths = np.diff(offsets)
    inner = [
        np.arange(int(offsets[d]), int(offsets[d + 1]), block_tokens, dtype=np.int64)
        for d in np.flatnonzero(lengths > block_tokens).tolist()
    ]
    edges = np.unique(np.concatenate([whole, *inner, np.array([0, total], np.int64)]))
    starts = edges[:-1]
    inside = np.asarray(offsets)[np.searchsorted(offsets, starts, "right") - 1] != starts
    return edges, inside


def shuffled(n: int, key: tuple[int, int]) -> np.ndarray:
    """A permutation of 0..n-1, int64, drawn from two 32-bit keys."""
    return shuffled_at(np.arange(n), n, key)


def shuffled_at(places: np.ndarray, n: int, key: tuple[int, int]) -> np.ndarray:
    """The numbers at these places (int64 [N]) of `shuffled(n, key)`, which is not made as a whole."""
    tf = tensorflow()
    order: np.ndarray = tf.random.experimental.index_shuffle(places, np.array(key, np.uint32), n - 1).numpy()
    return order


@contextlib.contextmanager
def _while_importing() -> Iterator[None]:
    """TensorFlow does not look for Keras 3, whose import, with scikit-learn in it, takes over a third of its own.
    `tf.keras` is loaded when it is first used, by the variable as it stands then: as ever.

    oneDNN, which no data needs, is off unless its variable is set: it would write four lines to standard error.
    """
    asked = {"TF_USE_LEGACY_KERAS": "1", "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "0")}
    before = {name: os.environ.get(name) for name in asked}
    os.environ.update(asked)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@lru_cache(maxsize=1)
def tensorflow() -> Any:
    """TensorFlow, imported late (2 s), without Keras, and kept off accelerators, which belong to JAX."""
    with _while_importing():
        import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
        tf.config.set_visible_devices([], "TPU")
    except RuntimeError:  # already initialised by the program that calls us
        pass
    return tf
