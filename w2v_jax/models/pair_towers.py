"""The towers of the pair encoder: from the words of a text to one vector s [F].

    mean          s = (1/n) sum_t x_t
    sif           s = v - c (c . v),  v = (1/n) sum_t a / (a + p(w_t)) x_t
    lstm          s = pool(h_1..h_n), h_t = LSTM(h_{t-1}, x_t), in one or both directions
    transformer   s = pool of the blocks' outputs

sif is smooth inverse frequency (Arora, Liang and Ma 2017). There c is the first right singular vector of the matrix of
all sentence vectors. Here it is a constant of the start, and known without the sentences: the first eigenvector of
E[v v^T] for texts of n words drawn by their shares q(w) of the training texts, n = `SIF_LENGTH`:

    E[v v^T] = (1/n) sum_w q(w) u_w u_w^T + (1 - 1/n) m m^T,   u_w = a / (a + p(w)) x_w,   m = sum_w q(w) u_w

It does not depend on the texts that are compared. Without given vectors nothing is removed.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.models.label_models import pool
from w2v_jax.nn.arrays import constant, normal
from w2v_jax.nn.blocks import Drop, Stack, project, rms_norm, run_layers, stack_arrays, stack_keys, trace_layers
from w2v_jax.nn.layers import dropout
from w2v_jax.nn.recurrent import CELLS, cell_arrays, cell_keys, run_cell, zero_state
from w2v_jax.types import Array, Leaf, Params

TOWERS = ("mean", "sif", "lstm", "transformer")
SIF_LENGTH = 10.0  # words of a text, for the common component
LSTM = CELLS["lstm"]


@dataclasses.dataclass(frozen=True)
class Tower:
    """The options of a tower; see `PairEncoderConfig`."""

    kind: str
    dim: int  # of the word vectors
    hidden: int  # F of mean and sif where it is not 0; H of a cell; width of the blocks
    layers: int
    heads: int
    pool: str
    bidirectional: bool
    dropout: float
    init_scale: float

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the cells' parameters."""
        if self.kind != "lstm":
            return ()
        return ("forward", "backward") if self.bidirectional else ("forward",)

    @property
    def features(self) -> int:
        """F, the width of s."""
        return self.hidden * max(1, len(self.directions)) if self.hidden else self.dim

    @property
    def stack(self) -> Stack:
        """The blocks of a transformer."""
        return Stack(self.layers, self.hidden, self.heads, 4 * self.hidden, False, False, False, self.dropout)


def tower_arrays(tower: Tower) -> dict[str, Any]:
    """'cells' of an LSTM; 'project' [D, F] of mean and sif with a width of their own; 'project', 'norm' and
    `stack_arrays` of a transformer."""
    if tower.kind == "lstm":
        cell = cell_arrays(LSTM, tower.dim, tower.hidden, tower.init_scale, forget_bias=1.0)
        return {"cells": dict.fromkeys(tower.directions, cell)}
    if not tower.hidden:
        return {}
    # A random projection of this size keeps lengths and distances in the mean.
    start, uses = normal(1.0, math.sqrt(tower.hidden)), 1.0 if tower.kind == "transformer" else 0.0
    own: dict[str, Any] = {"project": Leaf((tower.dim, tower.hidden), (None, "embed"), start, tower.dim, uses)}
    if tower.kind == "transformer":
        own |= {"norm": Leaf((tower.hidden,), ("embed",), constant(1.0))} | stack_arrays(tower.stack, tower.init_scale)
    return own


def tower_keys(rng: Array, tower: Tower) -> dict[str, Any]:
    """Random keys for the drawn arrays of `tower_arrays`."""
    first, *cells = jax.random.split(rng, 1 + max(1, len(tower.directions)))
    if tower.kind == "lstm":
        return {"cells": {name: cell_keys(key) for name, key in zip(tower.directions, cells, strict=True)}}
    return {"project": first} | (stack_keys(cells[0]) if tower.kind == "transformer" else {})


def reversed_within(x: Array, length: Array) -> Array:
    """[B, T, ...] with the first length[b] entries of row b reversed; the others stay."""
    place = jnp.arange(x.shape[1], dtype=jnp.int32)[None]
    index = jnp.where(place < length[:, None], length[:, None] - 1 - place, place)
    return jnp.take_along_axis(x, index.reshape(index.shape + (1,) * (x.ndim - 2)), axis=1)


def same_dropout(x: Array, share: float, rng: Array | None, row: Array, place: int) -> Array:
    """Sets dimensions of the vectors of a row to 0, the same ones for all its words: [B, T, D]. Rows of one number, as
    the two texts of a pair have, lose the same dimensions: the difference of equal texts stays 0."""
    return x * dropout(jnp.ones_like(x[:, 0]), share, rng, row, place, axis=0)[:, None]


def word_states(tower: Tower, params: Params, x: Array, length: Array, rng: Array | None, row: Array) -> Array:
    """The output for every word: [B, T, D] -> [B, T, F'], F' = D for mean and sif. See `same_dropout`."""
    x = same_dropout(x, tower.dropout, rng, row, 0)
    if tower.kind == "transformer":
        return run_layers(tower.stack, params, project(x, params["project"]), Drop(rng, row), lengths=length)
    outputs = []
    for direction in tower.directions:
        words = reversed_within(x, length) if direction == "backward" else x
        state = zero_state(LSTM, len(x), tower.hidden)
        h = run_cell(LSTM, params["cells"][direction], words.swapaxes(0, 1), state, length)[0].swapaxes(0, 1)
        outputs.append(reversed_within(h, length) if direction == "backward" else h)
    return jnp.concatenate(outputs, axis=2) if outputs else x


def summary(tower: Tower, params: Params, consts: dict[str, Array], tokens: Array, x: Array, length: Array) -> Array:
    """s before dropout, from tokens int32 [B, T] and the outputs x [B, T, F'] of `word_states`: [B, F]. Zeros (through
    the projection) for a text without words."""
    if tower.kind == "sif":
        x = x * consts["weights"][tokens][..., None]
    if tower.kind == "transformer":
        x = rms_norm(x, params["norm"])
    if tower.pool == "last" and tower.kind == "lstm":
        s = _last(tower, x, length)
    else:
        s = pool("max" if tower.pool == "max" else "mean", x.swapaxes(0, 1), length)
    if tower.kind == "sif":
        along = s @ consts["component"]
        s = s - along[:, None] * consts["component"][None]
    return project(s, params["project"]) if tower.kind in ("mean", "sif") and tower.hidden else s


def _last(tower: Tower, x: Array, length: Array) -> Array:
    """The state after the last word of each direction, [B, T, F] -> [B, F]."""
    end = jnp.maximum(length - 1, 0)[:, None, None]
    forward = jnp.take_along_axis(x, end, axis=1)[:, 0, : tower.hidden]
    s = jnp.concatenate([forward, x[:, 0, tower.hidden :]], axis=1)  # going back the first word is the last
    return jnp.where(length[:, None] > 0, s, 0.0)


def trace(tower: Tower, params: Params, x: Array, length: Array) -> list[Array]:
    """The outputs for every word after each layer, [B, T, F'] each."""
    if tower.kind == "transformer":
        return trace_layers(tower.stack, params, project(x, params["project"]), length)[0]
    if tower.kind == "lstm":
        return [word_states(tower, params, x, length, None, jnp.arange(len(x)))]
    return []


# ---- smooth inverse frequency ----


def sif_consts(
    a: float, counts: np.ndarray, drawn: np.ndarray, vectors: np.ndarray | None, rows: int, dim: int
) -> dict[str, np.ndarray]:
    """{'weights' [V'], 'component' [D]} of sif, float32, from word counts int [V] for p, those of the training
    texts (`drawn`), and vectors [V', D], V' = `rows`.

    A word without a count has p = 0 and weight 1. The component is the eigenvector of the module's docstring, its sign
    such that its sum is 0 or more; zeros where no vectors are given or all are zero.
    """
    share = np.zeros(rows, np.float64)
    share[: len(counts)] = counts / max(1, counts.sum())
    weights = a / (a + share)
    component = np.zeros(dim)
    if vectors is not None and np.any(vectors):
        texts = np.zeros(rows, np.float64)
        texts[: len(drawn)] = drawn / max(1, drawn.sum())
        used = np.flatnonzero(texts)
        weighted = vectors[used] * weights[used, None].astype(np.float32)
        mean = texts[used] @ weighted
        root = weighted * np.sqrt(texts[used] / SIF_LENGTH)[:, None].astype(np.float32)
        second = (root.T @ root).astype(np.float64) + (1 - 1 / SIF_LENGTH) * np.outer(mean, mean)
        component = np.linalg.eigh(second)[1][:, -1]
        component *= 1.0 if component.sum() >= 0 else -1.0
    return {"weights": weights.astype(np.float32), "component": component.astype(np.float32)}
