"""Ways to read a prompt with a model that decodes: at once, or one token after another.

Both are pure functions (decode, cfg, params, tokens int32 [B, T]) -> logits float32 [B, V] of the token after the
prompt. They compute the logits of no other position.
"""

from __future__ import annotations

from typing import Any

import jax

from w2v_jax.types import Array, Decode, Params


def read_at_once(decode: Decode, cfg: Any, params: Params, tokens: Array) -> Array:
    """The whole prompt in one step. A transformer computes all positions of a layer together, a recurrent model one
    after another."""
    return decode.step(cfg, decode.weights(cfg, params), {}, decode.start(cfg, *tokens.shape), tokens)[0]


def read_one_by_one(decode: Decode, cfg: Any, params: Params, tokens: Array) -> Array:
    """Each token through all layers before the next, with the cache or state of those before it."""
    weights = decode.weights(cfg, params)

    def one(kept: Any, token: Array) -> tuple[Any, None]:
        # The logits are not used, so that the compiler drops their product.
        return decode.step(cfg, weights, {}, kept, token[:, None])[1], None

    kept, _ = jax.lax.scan(one, decode.start(cfg, *tokens.shape), tokens[:, :-1].T)
    return decode.step(cfg, weights, {}, kept, tokens[:, -1:])[0]
