"""Trees of declared arrays (`w2v_jax.types.Leaf`) give initial values, shapes, counts and FLOPs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.types import Array, Leaf, Params

Start = Callable[[Any, tuple[int, ...]], Array]


def normal(scale: float, over: float = 1.0) -> Start:
    """Normal with standard deviation scale / over."""
    return lambda key, shape: scale * jax.random.normal(key, shape, jnp.float32) / over


def uniform(low: float, high: float) -> Start:
    """Uniform on [low, high)."""
    return lambda key, shape: jax.random.uniform(key, shape, jnp.float32, low, high)


def constant(value: float) -> Start:
    """The same number everywhere; nothing is drawn."""
    return lambda key, shape: jnp.full(shape, value, jnp.float32)


def given(values: Any) -> Start:
    """These values; nothing is drawn."""
    return lambda key, shape: jnp.array(values)


def draw(leaves: Mapping[str, Any], keys: Mapping[str, Any]) -> Params:
    """The initial values of nested dicts of `Leaf`. `keys` has the same nesting and a key for each leaf that draws;
    further keys are ignored."""
    return {
        name: leaf.start(keys.get(name), leaf.shape) if isinstance(leaf, Leaf) else draw(leaf, keys.get(name, {}))
        for name, leaf in leaves.items()
    }


def shapes(leaves: Mapping[str, Any]) -> Params:
    """The tree with a `jax.ShapeDtypeStruct` per leaf."""
    return dict(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), leaves))


def real_size(leaf: Leaf, vocab_size: int) -> int:
    """Numbers of an array without the padding rows of a table."""
    return math.prod(
        min(n, vocab_size) if name == "vocab" else n for n, name in zip(leaf.shape, leaf.axes, strict=True)
    )


def training_flops(leaves: Mapping[str, Any], vocab_size: int) -> float:
    """6 FLOPs (a multiplication and an addition, once forward and twice backward) per use of each number."""
    return 6.0 * sum(leaf.uses * real_size(leaf, vocab_size) for leaf in jax.tree.leaves(dict(leaves)))
