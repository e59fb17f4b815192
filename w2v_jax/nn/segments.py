"""Sums of gradient rows by id, without adding to one place twice on back ends where that is slow.

On GPUs, XLA compiles a float32 scatter-add with repeated indices to a compare-and-swap loop, hundreds of times slower
on Zipfian text (openxla/xla#46225). There a segmented scan over sorted rows sums the duplicates. On CPUs a scatter-add
into a small buffer is fastest: to the first place of each id, which needs no sorting, or to sorted places for tables so
large that marking the first places would take longer.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from w2v_jax.nn.layers import row_parts
from w2v_jax.types import Array

MARKED = 128  # up to this many table rows per id, marking every row is cheaper than sorting


class Segments(NamedTuple):
    """The entries of an id list by row. All are int32 [M]."""

    ids: Array  # distinct ids in rising order; then distinct numbers beyond the table
    order: Array  # entries sorted by id
    segment: Array  # place in `ids` of each sorted entry


def find_segments(ids: Array, num_rows: int) -> Segments:
    """Groups equal ids, int32 [M] in [0, num_rows)."""
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


def sum_by_first(ids: Array, grads: Array, num_rows: int) -> tuple[Array, Array]:
    """`sum_duplicates` in the order of the entries: the sum of an id is at its first place."""
    place = jnp.arange(ids.shape[0], dtype=jnp.int32)
    first = jnp.full(num_rows, ids.shape[0], jnp.int32).at[ids].min(place)[ids]
    return jnp.where(first == place, ids, num_rows + place), jnp.zeros_like(grads).at[first].add(grads)


def sum_by_scatter(ids: Array, grads: Array, num_rows: int) -> tuple[Array, Array]:
    """`sum_duplicates` in rising order of ids, the unused places last."""
    segments = find_segments(ids, num_rows)
    where = jnp.zeros_like(segments.segment).at[segments.order].set(segments.segment, unique_indices=True)
    return segments.ids, jnp.zeros_like(grads).at[where].add(grads)


def sum_by_scan(ids: Array, grads: Array, num_rows: int) -> tuple[Array, Array]:
    """The same without adding to one place twice: a segmented scan over sorted rows, then a distinct scatter."""
    segments = find_segments(ids, num_rows)
    flags = jnp.concatenate([jnp.ones(1, bool), segments.segment[1:] != segments.segment[:-1]])

    def combine(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        return left[0] | right[0], jnp.where(right[0][:, None], right[1], left[1] + right[1])

    _, sums = jax.lax.associative_scan(combine, (flags, grads[segments.order]))
    last = jnp.concatenate([flags[1:], jnp.ones(1, bool)])
    place = jnp.where(last, segments.segment, grads.shape[0])
    return segments.ids, jnp.zeros_like(grads).at[place].set(sums, mode="drop", unique_indices=True)


def sum_duplicates(ids: Array, grads: Array, num_rows: int) -> tuple[Array, Array]:
    """Sums gradient rows [M, D] by id, int32 [M] in [0, num_rows), in the fast way for the platform.

    Returns (ids, sums), int32 [M] and [M, D]: every distinct id once, with its sum. The other places hold distinct
    numbers beyond the table, and zeros; `write_rows` drops them.
    """
    marked = num_rows <= MARKED * ids.shape[0]
    cpu, default = (partial(f, num_rows=num_rows) for f in (sum_by_first if marked else sum_by_scatter, sum_by_scan))
    return jax.lax.platform_dependent(ids, grads, cpu=cpu, default=default)


def write_rows(table: Array, ids: Array, rows: Array, add: bool = False) -> Array:
    """`table` with `rows` written, or added, at the ids of `sum_duplicates`."""

    def write(table: Array, ids: Array, rows: Array, **known: Any) -> Array:
        at = table.at[ids]
        return (at.add if add else at.set)(rows, mode="drop", unique_indices=True, **known)

    rising = partial(write, indices_are_sorted=True)  # as from `sum_by_scan`
    return jax.lax.platform_dependent(table, ids, rows, cpu=write, default=rising)


@jax.custom_vjp
def take_rows(table: Array, ids: Array) -> Array:
    """`table[ids]`, [V, D] and int32 of any shape; its gradient sums duplicates before it is scattered."""
    return table.at[ids].get(mode="promise_in_bounds")


def _take_backward(saved: tuple[Array, Array], grad: Array) -> tuple[Array, None]:
    table, ids = saved

    def summed(ids: Array, grad: Array) -> Array:
        distinct, total = sum_duplicates(ids, grad, table.shape[0])
        return write_rows(jnp.zeros_like(table), distinct, total)

    parts = row_parts() if ids.shape[0] % row_parts() == 0 else 1
    if parts == 1:
        return summed(ids.reshape(-1), grad.reshape(ids.size, -1)), None
    # Each device sums the rows of its own tokens, and tables are added. A sort of all tokens would send each of them,
    # [M, D], to every device.
    own = PartitionSpec("data", *[PartitionSpec.UNCONSTRAINED] * 2)
    mine = jax.lax.with_sharding_constraint(grad.reshape(parts, ids.size // parts, -1), own)
    return jax.lax.with_sharding_constraint(jax.vmap(summed)(ids.reshape(parts, -1), mine), own).sum(0), None


take_rows.defvjp(lambda table, ids: (take_rows(table, ids), (table, ids)), _take_backward)
