"""Keeping one computation out of XLA's loop fusions on CPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.types import Array


def compute_apart(fn: Callable[..., Array], witness: Array, *args: Any) -> Array:
    """`fn(*args)`, computed once into a buffer of its own.

    XLA's CPU back end fuses a gather or a small array into the loop of whatever broadcasts it, and then computes it
    again for every element of the result (a gather for each number of a row). It drops
    `optimization_barrier` before it fuses, but it does not look into a conditional. Other back ends get plain
    `fn(*args)`.

    Args:
      fn: returns one array.
      witness: integer array whose first number is never below -1, which the compiler cannot know.
      *args: of fn.
    """

    def fenced(witness: Array, *args: Any) -> Array:
        shape = jax.eval_shape(fn, *args)
        return jax.lax.cond(witness.ravel()[0] >= -1, fn, lambda *_: jnp.zeros(shape.shape, shape.dtype), *args)

    return jax.lax.platform_dependent(witness, *args, cpu=fenced, default=lambda _, *args: fn(*args))
