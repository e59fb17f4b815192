"""Continues a prompt with any model that decodes: one call reads the prompt, one loop on the device writes the rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from w2v_jax.family import Decode
from w2v_jax.nn.sampling import Sampling, sample
from w2v_jax.types import Array, Consts, Params


class Texts(NamedTuple):
    tokens: Array
    """int32 [B, N]; those beyond `lengths` mean nothing."""
    lengths: Array
    """int32 [B], new tokens of each text, including its end token."""


def text_keys(seed: int, rows: int) -> Array:
    """One key per text, [B]; a text's key does not depend on their number."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(rows))


def prefill(
    decode: Decode, cfg: Any, rows: int, capacity: int, weights: Params, consts: Consts, prompt: Array
) -> tuple[Array, Any]:
    """Reads the prompt int32 [T] once for all texts. UserError: as `decode.start` and `decode.step`.

    Args:
      decode, cfg, consts: of the model.
      rows: B, texts to write.
      capacity: most tokens of a text, including the prompt.
      weights: of `decode.weights`.

    Returns:
      (logits float32 [V] of the first new token, the memory of B texts that begin with the prompt).
    """
    logits, one = decode.step(cfg, weights, consts, decode.start(cfg, 1, capacity), prompt[None])
    many = jax.eval_shape(lambda: decode.start(cfg, rows, capacity))
    return logits[0], jax.tree.map(lambda x, like: jnp.broadcast_to(x, like.shape), one, many)


def write(
    decode: Decode,
    cfg: Any,
    sampling: Sampling,
    count: int,
    end_id: int | None,
    weights: Params,
    consts: Consts,
    kept: Any,
    logits: Array,
    keys: Array,
) -> Texts:
    """At most `count` new tokens of every text. A text ends with its end token, the loop with the last text.

    Args:
      decode, cfg, consts: of the model.
      sampling: how to draw tokens.
      count: N, at least 1. The last token is not read: `kept` needs room for N - 1.
      end_id: the end token; None without one.
      weights: of `decode.weights`.
      kept, logits: of `prefill`.
      keys: of `text_keys`; token n of a text is drawn with `fold_in(key, n)`.
    """
    rows, end = keys.shape[0], -1 if end_id is None else end_id

    def draw(logits: Array, place: Array | int) -> Array:
        return sample(logits, jax.vmap(jax.random.fold_in, (0, None))(keys, place), sampling)

    def unfinished(held: Any) -> Array:
        place, _, _, _, alive = held
        return (place < count) & alive.any()

    def one(held: Any) -> Any:
        place, kept, last, texts, alive = held
        logits, kept = decode.step(cfg, weights, consts, kept, last[:, None])
        token = draw(logits, place)
        tokens = jax.lax.dynamic_update_slice(texts.tokens, token[:, None], (0, place))
        return place + 1, kept, token, Texts(tokens, texts.lengths + alive), alive & (token != end)

    first = draw(jnp.broadcast_to(logits[None], (rows, *logits.shape)), 0)
    texts = Texts(jnp.zeros((rows, count), jnp.int32).at[:, 0].set(first), jnp.ones(rows, jnp.int32))
    return jax.lax.while_loop(unfinished, one, (jnp.int32(1), kept, first, texts, first != end))[3]
