"""Three ways to read a prompt: an LSTM's, a transformer's at once, and the same transformer's one token after another.

All are pure functions (params, tokens int32 [B, T]) -> logits float32 [B, V] of the token that follows the prompt. No
way takes the head's product for any other position.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.models import recurrent_lm, transformer
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.nn.blocks import NO_DROP
from w2v_jax.nn.head import next_token_logits
from w2v_jax.types import Array, Params


def read_recurrent(cfg: RecurrentLMConfig, params: Params, tokens: Array) -> Array:
    """From the zero state, one token after another."""
    rows = tokens.shape[0]
    batch = {"tokens": tokens, "start": jnp.zeros(rows, jnp.int32), "row": jnp.arange(rows, dtype=jnp.int32)}
    hidden, _ = recurrent_lm.hidden_states(cfg, params, {}, recurrent_lm.carry(cfg, rows), batch, None)
    table = params["embed"] if cfg.tied else params["head"]["table"]
    return next_token_logits(hidden[-1], table, params["head"]["bias"], cfg.vocab_size)


def read_at_once(cfg: TransformerConfig, params: Params, tokens: Array) -> Array:
    """All positions of a layer together."""
    last = transformer.hidden_states(cfg, params, tokens, NO_DROP)[:, -1].astype(jnp.float32)
    return next_token_logits(last, transformer.head_table(cfg, params), jnp.zeros(cfg.padded_vocab), cfg.vocab_size)


def read_one_by_one(cfg: TransformerConfig, params: Params, tokens: Array) -> Array:
    """Each token through all layers before the next, with the cache of those before it."""

    weights = transformer.weights(cfg, params)

    def one(kept: Any, token: Array) -> tuple[Any, None]:
        # The logits are left, so that the compiler drops their product.
        return transformer.step(cfg, weights, {}, kept, token[:, None])[1], None

    kept, _ = jax.lax.scan(one, transformer.start(cfg, *tokens.shape), tokens[:, :-1].T)
    return transformer.step(cfg, weights, {}, kept, tokens[:, -1:])[0]
