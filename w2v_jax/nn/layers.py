"""Padding, dropout, and the split of rows over devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from w2v_jax.types import Array


def pad_to(size: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `size`."""
    return -(-size // multiple) * multiple


def row_parts() -> int:
    """The number of devices over which the partitioner splits the rows of a batch, from the mesh in context; else 1."""
    mesh = jax.sharding.get_abstract_mesh()
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    return mesh.shape["data"] if types.get("data") == AxisType.Auto else 1


def dropout(x: Array, share: float, rng: Array | None, row: Array, place: Array | int, axis: int = 1) -> Array:
    """Sets a share of the numbers to 0 and scales the others, which keeps the mean (Srivastava et al. 2014).

    Args:
      x: [T, B, D], or another shape with its rows along `axis`.
      share: 0 to 1.
      rng: None in evaluation, where nothing is dropped.
      row: int32 [B], index of each row in the whole batch; its draw depends on that, not on the device.
      place: number of this use within the model.
      axis: axis of the rows in x.
    """
    if rng is None or share == 0.0:
        return x
    here = jax.random.fold_in(rng, place)
    shape = x.shape[:axis] + x.shape[axis + 1 :]

    def one(index: Array) -> Array:
        return jax.random.bernoulli(jax.random.fold_in(here, index), 1.0 - share, shape)

    keep = jax.vmap(one, out_axes=axis)(row)
    return jnp.where(keep, x / (1.0 - share), 0.0)
