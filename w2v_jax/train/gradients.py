"""Gradients of one batch: by dense leaves and by gathered rows, at once or in consecutive microbatches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from w2v_jax.errors import UserError
from w2v_jax.family import Family
from w2v_jax.nn.apart import compute_apart
from w2v_jax.types import Array, Batch, Consts, Metrics, Params


class Gradients(NamedTuple):
    """Of one batch, or of a microbatch of it."""

    dense: Params
    rows: dict[str, tuple[Array, Array]]  # by sparse table: ids int32 [M] and gradients [M, D]
    carry: Any
    metrics: Metrics


def count_rows(batch: Mapping[str, Any]) -> int:
    """Length of the batch axis."""
    return next(iter(batch.values())).shape[0]


def with_row(batch: Batch, first: Array | int = 0, devices: int = 1) -> Batch:
    """The batch, or one of `devices` equal parts of it from global row `first`, with the entries that the step adds.

    See `w2v_jax.family.MakeShapes`.
    """
    size = count_rows(batch)
    row = first + jnp.arange(size, dtype=jnp.int32)
    return batch | {"row": row, "global_rows": jnp.float32(size * devices)}


def gather_rows(params: Params, ids: dict[str, Array]) -> Params:
    """{table: its rows [*ids.shape, D]} for {table: ids}."""

    def get(table: Array, index: Array) -> Array:
        return table.at[index].get(mode="promise_in_bounds")

    return {name: compute_apart(get, index, params[name], index) for name, index in ids.items()}


def gradients(
    spec: Family, cfg: Any, params: Params, consts: Consts, rng: Array, carry: Any, batch: Batch, native: bool = False
) -> Gradients:
    """The gradients of the loss of a batch, or of a part of it; `native`: by the kernels of the family."""
    direct = spec.trained.direct(cfg) if native else None
    if direct is not None:
        with jax.named_scope("kernels"):
            rows, metrics = direct(cfg, params, consts, batch, rng)
        return Gradients({}, rows, carry, metrics)
    with jax.named_scope("gather"):
        ids, batch = spec.trained.rows(cfg, consts, batch, rng)
        gathered = gather_rows(params, ids)
    dense = {k: v for k, v in params.items() if k not in ids}

    def loss(dense: Params, gathered: Params) -> tuple[Array, tuple[Any, Metrics]]:
        with jax.named_scope("loss"):
            return spec.trained.loss(cfg, dense | gathered, consts, carry, batch, rng)

    grads, (carry, metrics) = jax.grad(loss, argnums=(0, 1), has_aux=True)(dense, gathered)
    rows = {k: (index.reshape(-1), grads[1][k].reshape(index.size, -1)) for k, index in ids.items()}
    return Gradients(grads[0], rows, carry, metrics)


def check_accumulate(parts: int, size: int) -> None:
    """Raises UserError unless a device's `size` rows divide into `parts` microbatches."""
    if size % parts:
        raise UserError(f"train.accumulate={parts}: does not divide the {size} rows of a batch that each device gets")


def accumulate(
    one: Callable[[Any, Batch], Gradients], carry: Any, batch: Batch, parts: int, devices: int = 1
) -> Gradients:
    """`one(carry, batch)`, additive over rows, computed for `parts` consecutive microbatches and summed.

    Leaves of carry and batch have the batch axis first and are split alike; scalars go to every microbatch. With rows
    split over `devices` by the partitioner, each device takes its own consecutive rows for every microbatch: none is
    idle or sends rows to another. UserError: the rows do not divide.
    """
    check_accumulate(parts, batch["row"].shape[0] // devices)

    def split(x: Array) -> Array:
        if not x.ndim:
            return jnp.broadcast_to(x, (parts,))
        return x.reshape(devices, parts, -1, *x.shape[1:]).swapaxes(0, 1).reshape(parts, -1, *x.shape[1:])

    def join(x: Array) -> Array:
        return x.reshape(parts, devices, -1, *x.shape[2:]).swapaxes(0, 1).reshape(-1, *x.shape[2:])

    def add(held: Any, part: tuple[Any, Batch]) -> tuple[Any, Any]:
        found = one(*part)
        return jax.tree.map(jnp.add, held, (found.dense, found.metrics)), (found.rows, found.carry)

    one = jax.jit(one, inline=True)  # traced once, for its shapes here and inside the scan
    microbatches = jax.tree.map(split, (carry, batch))
    shapes = jax.eval_shape(one, *jax.tree.map(lambda x: x[0], microbatches))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (shapes.dense, shapes.metrics))
    (dense, metrics), (rows, after) = jax.lax.scan(add, zeros, microbatches)
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
    return Gradients(dense, rows, jax.tree.map(join, after), metrics)
