"""The transformer one token after another with a key-value cache; what the cache and the parameters weigh.

Keys and values of past tokens are kept: of every layer, or once where all layers share them. One token then costs

    cache_bytes = (keys + values) * D * bytes a number,    keys, values = L, or 1 where shared

so that sharing both over 12 layers makes the cache 12 times smaller.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from w2v_jax.errors import UserError
from w2v_jax.models.transformer import TransformerConfig, embed_tokens, logits_of
from w2v_jax.nn.attention import attend
from w2v_jax.nn.blocks import NO_DROP, finish_layer, queries_keys_values, shared_keys_values, unstacked
from w2v_jax.types import Array, Consts, Params

# {'keys', 'values': [L, B, S, N, H], or [B, S, N, H] where shared; 'length': int32 scalar, tokens in it}
Cache = dict[str, Array]


def _copies(cfg: TransformerConfig) -> dict[str, int]:
    """How many matrices of keys and of values there are."""
    shared = {"keys": cfg.stack.shared_keys, "values": cfg.stack.shared_values}
    return {name: 1 if once else cfg.layers for name, once in shared.items()}


def cache_bytes(cfg: TransformerConfig) -> int:
    """Bytes of cache that one token of one text takes."""
    return sum(_copies(cfg).values()) * cfg.dim * jnp.dtype(cfg.dtype).itemsize


def init_cache(cfg: TransformerConfig, batch: int, capacity: int = 0) -> Cache:
    """An empty cache for `batch` texts of at most `capacity` tokens each (0: `cfg.length`).

    Raises:
      UserError: the objective is masked, so that every token sees those that follow.
    """
    if cfg.masked:
        raise UserError("model.objective='masked': reads a text at once; only causal models go token by token")
    one = (batch, capacity or cfg.length, cfg.heads, cfg.dim // cfg.heads)
    shapes = {
        "keys": one if cfg.stack.shared_keys else (cfg.layers, *one),
        "values": one if cfg.stack.shared_values else (cfg.layers, *one),
    }
    return {name: jnp.zeros(shape, cfg.dtype) for name, shape in shapes.items()} | {"length": jnp.zeros((), jnp.int32)}


def _write(held: Array, new: Array, length: Array, layer: int | None) -> Array:
    """`new` [B, T, N, H] at place `length` of a cache entry, in layer `layer` or in the shared one."""
    if layer is None:
        return jax.lax.dynamic_update_slice(held, new, (0, length, 0, 0))
    return jax.lax.dynamic_update_slice(held, new[None], (layer, 0, length, 0, 0))


def step_cached(
    cfg: TransformerConfig, params: Params, consts: Consts, cache: Cache, tokens: Array
) -> tuple[Array, Cache]:
    """The next tokens of every text, one or several (a prompt) at a time.

    The caller keeps count: tokens beyond the capacity would fall on the last places.

    Args:
      cfg, params, consts: of the model.
      cache: of the tokens before.
      tokens: int32 [B, T].

    Returns:
      (logits float32 [B, T, V] of the token that follows each, as `apply` gives them for the whole text; the cache with
      these tokens in it).

    Raises:
      UserError: more tokens than the cache can ever hold.
    """
    stack, offset, count = cfg.stack, cache["length"], tokens.shape[1]
    capacity = cache["keys"].shape[-3]
    if count > capacity:
        raise UserError(f"{count} tokens: the context of the model holds {capacity}; give fewer")
    x = embed_tokens(cfg, params, tokens)
    shared = shared_keys_values(stack, params, x, offset)
    cache = cache | {name: _write(cache[name], new, offset, None) for name, new in shared.items()}
    seen = jnp.arange(capacity)[None] <= offset + jnp.arange(count)[:, None]
    for i, layer in enumerate(unstacked(stack, params)):
        query, key, value = queries_keys_values(stack, layer, shared, x, offset)
        whole = {}
        for name, new in (("keys", key), ("values", value)):
            if name not in shared:
                cache = cache | {name: _write(cache[name], new, offset, i)}
            whole[name] = cache[name] if name in shared else cache[name][i]
        mixed = attend(query, whole["keys"], whole["values"], causal=False, mask=seen[None, None], implementation="xla")
        x = finish_layer(stack, layer, x, mixed, NO_DROP, i)
    return logits_of(cfg, params, x), cache | {"length": offset + count}


def parameter_ledger(cfg: TransformerConfig) -> dict[str, int]:
    """Trained numbers by what they are for.

    Returns:
      'embeddings', 'queries', 'keys', 'values', 'outputs', 'feed_forward', 'head' (0 where tied), and 'total' of these;
      beside it 'norms' (gains), 'mask' (the row of the token that hides others) and 'padding' (rows that bring the
      tables to a round size), which are not in the total. All but 'total' together are all numbers of `init`.
    """
    square, copies = cfg.dim**2, _copies(cfg)
    tables = 1 if cfg.tied else 2
    counts = {
        "embeddings": cfg.vocab_size * cfg.dim,
        "queries": cfg.layers * square,
        "keys": copies["keys"] * square,
        "values": copies["values"] * square,
        "outputs": cfg.layers * square,
        "feed_forward": 2 * cfg.wide * cfg.layers * square,
        "head": 0 if cfg.tied else cfg.vocab_size * cfg.dim,
    }
    any_shared = cfg.stack.shared_keys or cfg.stack.shared_values
    return counts | {
        "total": sum(counts.values()),
        "norms": (2 * cfg.layers + 1 + any_shared) * cfg.dim,
        "mask": cfg.masked * cfg.dim,
        "padding": (tables * (cfg.padded_vocab - cfg.vocab_size) - cfg.masked) * cfg.dim,
    }
