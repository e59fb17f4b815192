"""Keys and values of past tokens, kept so that a stack of blocks reads a text token by token.

The cache holds them for every layer, or once where all layers share them. One token of one text takes

    bytes = (keys + values) * D * bytes per number,    keys, values = L, or 1 where shared

so sharing both over 12 layers makes the cache 12 times smaller.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from w2v_jax.errors import UserError
from w2v_jax.nn.attention import attend
from w2v_jax.nn.blocks import NO_DROP, Stack, finish_layer, queries_keys_values, shared_keys_values
from w2v_jax.types import Array, Params

# {'keys', 'values': [L, B, S, N, H], or [B, S, N, H] where shared; 'length': int32 scalar, tokens in it}
Cache = dict[str, Array]


def cache_bytes(stack: Stack, dtype: str) -> int:
    """Bytes of one token of one text."""
    copies = sum(1 if shared else stack.layers for shared in (stack.shared_keys, stack.shared_values))
    return copies * stack.dim * jnp.dtype(dtype).itemsize


def init_cache(stack: Stack, dtype: str, rows: int, capacity: int) -> Cache:
    """An empty cache for `rows` texts of at most `capacity` tokens each."""
    one = (rows, capacity, stack.heads, stack.dim // stack.heads)

    def empty(shared: bool) -> Array:
        return jnp.zeros(one if shared else (stack.layers, *one), dtype)

    keys, values = empty(stack.shared_keys), empty(stack.shared_values)
    return {"keys": keys, "values": values, "length": jnp.zeros((), jnp.int32)}


def _write(held: Array, new: Array, length: Array, layer: int | None) -> Array:
    """The cache entry `held` with `new` [B, T, N, H] at place `length`; `layer` is None where layers share it."""
    if layer is None:
        return jax.lax.dynamic_update_slice(held, new, (0, length, 0, 0))
    return jax.lax.dynamic_update_slice(held, new[None], (layer, 0, length, 0, 0))


def run_cached(stack: Stack, weights: Params, x: Array, cache: Cache) -> tuple[Array, Cache]:
    """`run_layers` on the next tokens of every text, one or several (a prompt) at a time; without dropout.

    In `weights`, the parameters, 'layers' is the list of `unstacked`; x [B, T, D] are the embeddings of the tokens. The
    caller counts them: tokens beyond the capacity would overwrite the last places.

    Returns:
      (output of the stack [B, T, D] before the last norm, the cache with these tokens).

    Raises:
      UserError: more tokens than the whole cache holds.
    """
    offset, count, capacity = cache["length"], x.shape[1], cache["keys"].shape[-3]
    if count > capacity:
        raise UserError(f"{count} tokens: the cache holds {capacity}; give fewer")
    shared = shared_keys_values(stack, weights, x, offset)
    cache = cache | {name: _write(cache[name], new, offset, None) for name, new in shared.items()}
    seen = jnp.arange(capacity)[None] <= offset + jnp.arange(count)[:, None]
    for i, layer in enumerate(weights["layers"]):
        query, key, value = queries_keys_values(stack, layer, shared, x, offset)
        whole = {}
        for name, new in (("keys", key), ("values", value)):
            if name not in shared:
                cache = cache | {name: _write(cache[name], new, offset, i)}
            whole[name] = cache[name] if name in shared else cache[name][i]
        mixed = attend(query, whole["keys"], whole["values"], causal=False, mask=seen[None, None], implementation="xla")
        x = finish_layer(stack, layer, x, mixed, NO_DROP, i)
    return x, cache | {"length": offset + count}
