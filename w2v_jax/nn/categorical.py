"""Draws from unnormalised weights by inversion, in two levels so that no cumulative sum over all of them is made."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from w2v_jax.types import Array


def unit(bits: Array) -> Array:
    """uint32 -> float32 in [0, 1), 24 bits."""
    return (bits >> jnp.uint32(8)).astype(jnp.float32) * jnp.float32(2**-24)


def one_hot(index: Array, size: int) -> Array:
    """bool [..., size], whether a place is the one in `index` int [...]; outside of 0 to size - 1 none is."""
    return index[..., None] == jax.lax.broadcasted_iota(index.dtype, (*index.shape, size), index.ndim)


def draw(weights: Array, uniform: Array) -> Array:
    """k with probability weights_k / sum of weights: the first k whose cumulative weight is above uniform x sum.

    weights [..., K], above 0; uniform [...], in [0, 1). Returns int32 [...]. The sums are those of blocks of about
    sqrt(K) weights, so that the last bits of a cumulative weight differ from a plain running sum.
    """
    size = weights.shape[-1]
    width = max(1, math.isqrt(size - 1) + 1)
    blocks = -(-size // width)
    spread = [(0, 0)] * (weights.ndim - 1)
    padded = jnp.pad(weights, [*spread, (0, blocks * width - size)])
    grid = padded.reshape(*weights.shape[:-1], blocks, width)
    up_to = _running(grid.sum(-1))
    target = uniform * up_to[..., -1]
    block = jnp.minimum((up_to <= target[..., None]).sum(-1), blocks - 1)
    before = jnp.where(one_hot(block - 1, blocks), up_to, 0.0).sum(-1)
    row = jnp.take_along_axis(grid, block[..., None, None], axis=-2, mode="promise_in_bounds")[..., 0, :]
    inside = (_running(row) <= (target - before)[..., None]).sum(-1)
    return jnp.minimum(block * width + jnp.minimum(inside, width - 1), size - 1).astype(jnp.int32)


def _running(x: Array) -> Array:
    """Cumulative sums of the last axis as one product with a triangle: XLA's own are slow on CPUs."""
    size = x.shape[-1]
    triangle = jnp.triu(jnp.ones((size, size), x.dtype))
    return jnp.matmul(x, triangle, precision=jax.lax.Precision.HIGHEST)
