"""Optimisers for the rows of a table that one step touched: no dense gradient, one scatter with distinct indices.

A word that occurs m times in a step has m gradient rows. They are summed first (as `numpy.add.at` would), then the row
is updated once. So row-wise SGD equals SGD on the dense gradient, and row-wise Adagrad sees one gradient a step and
row:

    a_r <- a_r + mean_d(g_r[d]^2),    w_r <- w_r - lr * g_r / sqrt(a_r + eps),    g_r = sum of the row's gradients,

one accumulator a row instead of one a number, starting at `optimizer.initial_square`. The step of a frequent word is
thereby bounded by lr * sqrt(D) in norm however often it occurs. (Duchi et al. 2011; the row-wise form is that of large
embedding tables, e.g. arXiv 1906.00091.)

Why sort: XLA compiles a float32 scatter-add with repeated indices to a compare-and-swap loop on GPUs, hundreds of times
slower on Zipfian text (openxla/xla#46225). Here duplicates are summed by a segmented scan over sorted rows there, by a
scatter into a small buffer on CPUs, where that is the fastest way; the table is only ever written at distinct indices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from w2v_jax.types import Array

EPS = 1e-10


class Segments(NamedTuple):
    """Which entries of an id list name the same row. All are int32 [M]."""

    ids: Array  # distinct ids in rising order; the unused places hold distinct numbers beyond the table
    order: Array  # entries sorted by id
    segment: Array  # for each sorted entry, the place of its id in `ids`


def find_segments(ids: Array, num_rows: int) -> Segments:
    """Groups equal ids. ids: int32 [M], each in [0, num_rows)."""
    count = ids.shape[0]
    shift = max(count - 1, 1).bit_length()
    if num_rows << shift <= 2**32:
        # One sort of packed (id, place) keys: six times faster than an argsort on CPUs.
        keys = jnp.sort((ids.astype(jnp.uint32) << shift) | jnp.arange(count, dtype=jnp.uint32))
        sorted_ids = (keys >> shift).astype(jnp.int32)
        order = (keys & jnp.uint32((1 << shift) - 1)).astype(jnp.int32)
    else:
        sorted_ids, order = jax.lax.sort((ids, jnp.arange(count, dtype=jnp.int32)), num_keys=2)
    fresh = jnp.concatenate([jnp.ones(1, bool), sorted_ids[1:] != sorted_ids[:-1]])
    segment = jnp.cumsum(fresh, dtype=jnp.int32) - 1
    unused = num_rows + jnp.arange(count, dtype=jnp.int32)
    distinct = unused.at[segment].set(sorted_ids)
    return Segments(distinct, order, segment)


def sum_by_scatter(segments: Segments, grads: Array) -> Array:
    """Sum of gradient rows by distinct id, [M, D] -> [M, D]; rows beyond the number of distinct ids are 0."""
    where = jnp.zeros_like(segments.segment).at[segments.order].set(segments.segment, unique_indices=True)
    return jnp.zeros_like(grads).at[where].add(grads)


def sum_by_scan(segments: Segments, grads: Array) -> Array:
    """The same sums without adding to one place twice: a segmented scan over sorted rows, then a distinct scatter."""
    flags = jnp.concatenate([jnp.ones(1, bool), segments.segment[1:] != segments.segment[:-1]])

    def combine(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        return left[0] | right[0], jnp.where(right[0][:, None], right[1], left[1] + right[1])

    _, sums = jax.lax.associative_scan(combine, (flags, grads[segments.order]))
    last = jnp.concatenate([flags[1:], jnp.ones(1, bool)])
    place = jnp.where(last, segments.segment, grads.shape[0])
    return jnp.zeros_like(grads).at[place].set(sums, mode="drop", unique_indices=True)


def sum_rows(segments: Segments, grads: Array) -> Array:
    """Sum of gradient rows by distinct id, by the way that is fast on the platform the step is lowered for."""
    return jax.lax.platform_dependent(segments, grads, cpu=sum_by_scatter, default=sum_by_scan)


def init(name: str, table: Array, initial_square: float = 0.0) -> dict[str, Array]:
    """Row-optimiser state of one table [V, D]: {'square': float32 [V]} for adagrad, {} for sgd."""
    return {"square": jnp.full(table.shape[0], initial_square, jnp.float32)} if name == "adagrad" else {}


def update(
    name: str, table: Array, state: dict[str, Array], ids: Array, grads: Array, rate: Array, clip: float = 0.0
) -> tuple[Array, dict[str, Array]]:
    """One step on the touched rows.

    Args:
      name: 'adagrad' or 'sgd'.
      table: [V, D], donated by the caller.
      state: of `init`.
      ids: int32 [M], any number of duplicates.
      grads: [M, D], gradient of the loss by each gathered row.
      rate: learning rate, scalar.
      clip: largest norm of a row's summed SGD update, 0 for none.
    """
    segments = find_segments(ids, table.shape[0])
    total = sum_rows(segments, grads)
    distinct: dict[str, Any] = {"mode": "drop", "unique_indices": True, "indices_are_sorted": True}
    if name == "adagrad":
        # Reading clips the out-of-range ids of unused places; writing drops them.
        square = state["square"].at[segments.ids].get(mode="clip") + jnp.mean(total * total, axis=1)
        state = {"square": state["square"].at[segments.ids].set(square, **distinct)}
        change = total * (-rate * jax.lax.rsqrt(square + EPS))[:, None]
    else:
        change = -rate * total
        if clip:
            norm = jnp.sqrt(jnp.sum(change * change, axis=1, keepdims=True))
            change = change * jnp.minimum(1.0, clip / jnp.maximum(norm, 1e-30))
    return table.at[segments.ids].add(change, **distinct), state
