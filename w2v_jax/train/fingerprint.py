"""Digests and records of array trees that do not depend on how the arrays are laid out over devices."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from w2v_jax.errors import UserError


def leaf_names(tree: Any) -> dict[str, Any]:
    """Leaves of a tree by path, e.g. `params/E`: a dict, a NamedTuple and a dataclass give the same name."""
    named, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in named}


def fingerprint(tree: Any) -> dict[str, int]:
    """{leaf path (`leaf_names`): digest of the array, `(sum_i word_i * weight_i + crc32(dtype, shape)) mod 2**32`}.

    `word_i` are the bits of element i as uint32 (narrower elements widened, wider ones cut into several words) and
    `weight_i` is an odd hash of i. A change of one bit changes one word by +-2**b, and 2**b times an odd weight is
    never 0 modulo 2**32: any single flipped bit is noticed. Moved or swapped values go unnoticed with a chance of about
    2**-32. Sums of integers do not depend on their order: the value is the same on any number of devices under any
    sharding, and no array is gathered. Leaves may have any bool, integer, floating or complex dtype.
    """
    names = leaf_names(tree)
    # All reductions are started before the first is waited for.
    sums = {name: _weighted_sum(jnp.asarray(leaf)) for name, leaf in names.items()}
    kinds = {name: f"{jnp.result_type(leaf)}{tuple(jnp.shape(leaf))}" for name, leaf in names.items()}
    return {name: (int(value) + zlib.crc32(kinds[name].encode())) % 2**32 for name, value in sums.items()}


def kind(leaf: Any) -> tuple[str, list[int]]:
    """(dtype name, shape) of an array or a `jax.ShapeDtypeStruct`, as JSON holds them."""
    return str(np.dtype(leaf.dtype)), list(leaf.shape)


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON record together with the digest of its canonical text: {"record": ..., "sha256": ...}."""
    text = json.dumps(record, sort_keys=True)
    return {"record": json.loads(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def check_fits(where: str, saved: Mapping[str, Sequence[Any]], target: Any, prefix: str = "") -> None:
    """Raises UserError with the first difference between a checkpoint at `where` and `target`, shapes with shardings.

    `saved` is {leaf path: (dtype name, shape, ...)}; only leaves under `prefix` have to be in the target.
    """
    advice = "it was saved by another model, vocabulary or optimizer; use its own config or another workdir"
    want = leaf_names(target)
    for name, leaf in want.items():
        if name not in saved:
            raise UserError(f"{where}: has no {name}: {advice}")
        dtype, shape = kind(leaf)
        if [dtype, shape] != list(saved[name][:2]):
            there = f"{saved[name][0]}{list(saved[name][1])}"
            raise UserError(f"{where}: {name} is {there}, but {dtype}{shape} here: {advice}")
        if leaf.sharding is None:
            raise ValueError(f"restore target {name} needs a sharding")
    for name in saved:
        if name.startswith(prefix) and name not in want:
            raise UserError(f"{where}: contains {name}, which this model does not have: {advice}")


@jax.jit
def _weighted_sum(x: jax.Array) -> jax.Array:
    words = _words(x)
    # The linear index from one iota a dimension: a reshape to one dimension would gather a sharded array.
    index = jnp.zeros(words.shape, jnp.uint32)
    stride = 1
    for axis in reversed(range(words.ndim)):
        index = index + lax.broadcasted_iota(jnp.uint32, words.shape, axis) * jnp.uint32(stride % 2**32)
        stride *= words.shape[axis]
    return jnp.sum(words * (_mix(index) | jnp.uint32(1)), dtype=jnp.uint32)


def _words(x: jax.Array) -> jax.Array:
    """The bits of `x` as uint32, with a new last axis where an element needs more than one word."""
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return jnp.stack([_words(x.real), _words(x.imag)], axis=-1)
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint32)
    info = jnp.finfo if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo
    bits = info(x.dtype).bits
    if bits < 32:
        return lax.bitcast_convert_type(x, jnp.dtype(f"uint{bits}")).astype(jnp.uint32)
    return lax.bitcast_convert_type(x, jnp.uint32)


def _mix(x: jax.Array) -> jax.Array:
    """A bijective mixer of 32-bit words (two rounds of xor-shift and multiply), so that weights have no pattern."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
