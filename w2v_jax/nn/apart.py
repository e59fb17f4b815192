"""Keeping one computation out of XLA's loop fusions on CPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.types import Array


def compute_apart(fn: Callable[..., Array], witness: Array, *args: Any) -> Array:
    """`fn(*args)`, one array, computed once into its own buffer.

    XLA's CPU back end fuses a gather or a small array into the loop that broadcasts it, and then recomputes it for
    every element of the result. It drops `optimization_barrier` before it fuses, but it does not fuse across a
    conditional. The condition here always holds, unknown to the compiler: the first integer of `witness` must be at
    least -1. Other back ends get plain `fn(*args)`.
    """

    def fenced(witness: Array, *args: Any) -> Array:
        shape = jax.eval_shape(fn, *args)
        return jax.lax.cond(witness.ravel()[0] >= -1, fn, lambda *_: jnp.zeros(shape.shape, shape.dtype), *args)

    return jax.lax.platform_dependent(witness, *args, cpu=fenced, default=lambda _, *args: fn(*args))
