"""Sums of rows that name the same place, without adding to one place twice on back ends where that is slow.

XLA compiles a float32 scatter-add with repeated indices to a compare-and-swap loop on GPUs, hundreds of times slower
on Zipfian text (openxla/xla#46225). Here duplicates are summed by a segmented scan over sorted rows there, and by a
scatter into a small buffer on CPUs, where that is the fastest way.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from w2v_jax.types import Array


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


@jax.custom_vjp
def take_rows(table: Array, ids: Array) -> Array:
    """`table[ids]` ([V, D], int32 of any shape in range) whose gradient sums duplicates before it is scattered."""
    return table.at[ids].get(mode="promise_in_bounds")


def _take_backward(saved: tuple[Array, Array], grad: Array) -> tuple[Array, None]:
    table, ids = saved
    segments = find_segments(ids.reshape(-1), table.shape[0])
    total = sum_rows(segments, grad.reshape(ids.size, -1))
    return jnp.zeros_like(table).at[segments.ids].set(total, mode="drop", unique_indices=True), None


take_rows.defvjp(lambda table, ids: (take_rows(table, ids), (table, ids)), _take_backward)
