"""Optimisers for the rows of a table that one step touched: no dense gradient, one scatter with distinct indices.

A word that occurs m times in a step has m gradient rows. `w2v_jax.nn.segments` sums them first, then the row is updated
once. So row-wise SGD equals SGD on the dense gradient, and row-wise Adagrad sees one gradient per step and row:

    a_r <- a_r + mean_d(g_r[d]^2),    w_r <- w_r - lr * g_r / sqrt(a_r + eps),    g_r = sum of the row's gradients,

with one accumulator per row, which starts at `optimizer.initial_square`. This bounds the norm of a word's step by
lr * sqrt(D), however frequent the word is. (Duchi et al. 2011; row-wise as for large embedding tables, e.g. arXiv
1906.00091.) Elementwise Adagrad has an accumulator for every number, a_rd <- a_rd + g_rd^2, as GloVe was trained with:
three tables are then read and written instead of two.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.nn import kernels
from w2v_jax.nn.segments import sum_duplicates, write_rows
from w2v_jax.types import Array

EPS = 1e-10


def init(name: str, table: Array, initial_square: float = 0.0) -> dict[str, Array]:
    """Row-optimiser state of one table [V, D]: {'square': float32 [V]} for adagrad, [V, D] for adagrad_elementwise, {}
    for sgd."""
    shape = {"adagrad": table.shape[:1], "adagrad_elementwise": table.shape}.get(name)
    return {} if shape is None else {"square": jnp.full(shape, initial_square, jnp.float32)}


def update(
    name: str,
    table: Array,
    state: dict[str, Array],
    ids: Array,
    grads: Array,
    rate: Array,
    clip: float = 0.0,
    native: bool = False,
) -> tuple[Array, dict[str, Array], tuple[Array, Array]]:
    """One step of 'adagrad', 'adagrad_elementwise' or 'sgd' on the touched rows: (table, state, (|g|^2, |change|^2)),
    squares over all rows.

    `ids` int32 [M] may have duplicates; `grads` [M, D] are the gradients of the gathered rows of `table` [V, D], which
    the caller donates. `clip` is the largest norm of a row's summed SGD update, 0 for none. `native`: adagrad
    by a kernel, which leaves ids beyond the table out; for it `grads` may also be bfloat16, and are summed in float32.
    """
    if native:
        return _adagrad(table, state["square"], ids, grads, rate)
    ids, total = sum_duplicates(ids, grads, table.shape[0])
    if name == "adagrad":
        # Reading clips the out-of-range ids of unused places; writing drops them.
        mean = jnp.mean(total * total, axis=1)
        square = state["square"].at[ids].get(mode="clip") + mean
        state = {"square": write_rows(state["square"], ids, square)}
        scale = -rate * jax.lax.rsqrt(square + EPS)
        change = total * scale[:, None]
        squares = table.shape[1] * jnp.sum(mean), table.shape[1] * jnp.sum(scale * scale * mean)
    elif name == "adagrad_elementwise":
        grown = state["square"].at[ids].get(mode="clip") + total * total
        state = {"square": write_rows(state["square"], ids, grown)}
        change = -rate * total * jax.lax.rsqrt(grown + EPS)
        squares = jnp.sum(total * total), jnp.sum(change * change)
        return write_rows(table, ids, change, add=True), state, squares
    else:
        change = -rate * total
        whole = jnp.sum(total * total)
        squares = whole, rate * rate * whole
        if clip:
            norm = jnp.sqrt(jnp.sum(change * change, axis=1, keepdims=True))
            shrink = jnp.minimum(1.0, clip / jnp.maximum(norm, 1e-30))
            change = change * shrink
            squares = whole, jnp.sum((norm * shrink) ** 2)
    return write_rows(table, ids, change, add=True), state, squares


def _adagrad(
    table: Array, square: Array, ids: Array, grads: Array, rate: Array
) -> tuple[Array, dict[str, Array], tuple[Array, Array]]:
    """`update` for 'adagrad' by the kernel: sums, reads and writes each row once, in place, on all cores."""
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in (table.shape, square.shape, (2,))]
    args = (table, square, ids, grads, jnp.asarray(rate, jnp.float32).reshape(1))
    table, square, norms = kernels.call("adagrad", shapes, *args, alias={0: 0, 1: 1}, eps=np.float32(EPS))
    return table, {"square": square}, (norms[0], norms[1])
