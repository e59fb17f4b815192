"""Small pieces that the models share."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from w2v_jax.types import Array


def pad_to(size: int, multiple: int) -> int:
    """The smallest multiple that is not below `size`."""
    return -(-size // multiple) * multiple


def dropout(x: Array, share: float, rng: Array | None, row: Array, place: int) -> Array:
    """Sets a share of the numbers to 0 and scales the others so that the mean stays (Srivastava et al. 2014).

    The draw of a row depends on its index in the whole batch, not on the device that holds it.

    Args:
      x: [T, B, D].
      share: 0 to 1.
      rng: None at evaluation, where nothing is dropped.
      row: int32 [B], index of each row.
      place: number of this use within the model.
    """
    if rng is None or share == 0.0:
        return x
    here = jax.random.fold_in(rng, place)

    def one(index: Array) -> Array:
        return jax.random.bernoulli(jax.random.fold_in(here, index), 1.0 - share, (x.shape[0], x.shape[2]))

    keep = jax.vmap(one, out_axes=1)(row)
    return jnp.where(keep, x / (1.0 - share), 0.0)
