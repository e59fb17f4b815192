"""Less work for short texts: a program is compiled for a few lengths, and a batch takes the shortest that fits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.types import Array, Params

# (length, params, inputs) -> (float32 scalar, auxiliary outputs of the same shapes for every length)
Work = Callable[[int, Params, Any], tuple[Array, Any]]


def equal_lengths(longest: int, count: int) -> tuple[int, ...]:
    """`count` rising lengths in equal steps up to `longest`; fewer where two would be equal."""
    return tuple(sorted({-(-longest * k // count) for k in range(1, count + 1)}))


def _switch(work: Callable[..., Any], lengths: tuple[int, ...], needed: Array, params: Params, inputs: Any) -> Any:
    if len(lengths) == 1:
        return work(lengths[0], params, inputs)
    index = jnp.sum(jnp.array(lengths[:-1], jnp.int32) < needed)
    return jax.lax.switch(index, [partial(work, n) for n in lengths], params, inputs)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def at_shortest(work: Work, lengths: tuple[int, ...], needed: Array, params: Params, inputs: Any) -> tuple[Array, Any]:
    """work(n, params, inputs) for the smallest n of the rising `lengths` that is at least `needed`, else the largest.

    Only the scalar is differentiable, and only by `params`. The gradient is computed inside each branch, in the forward
    pass: JAX's own gradient of a switch writes zeros for the saved values of all other branches, which costs as much as
    the longest branch.
    """
    out: tuple[Array, Any] = _switch(work, lengths, needed, params, inputs)
    return out


def _forward(work: Work, lengths: tuple[int, ...], needed: Array, params: Params, inputs: Any) -> tuple[Any, Params]:
    both = jax.value_and_grad(work, argnums=1, has_aux=True)
    out: tuple[Any, Params] = _switch(both, lengths, needed, params, inputs)
    return out


def _backward(work: Work, lengths: tuple[int, ...], grads: Params, given: tuple[Array, Any]) -> tuple[Any, ...]:
    return None, jax.tree.map(lambda g: given[0] * g, grads), None


at_shortest.defvjp(_forward, _backward)
