"""Continues a prompt with any model that decodes: one call reads the prompt, one loop on the device writes the rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.family import Decode
from w2v_jax.nn.sampling import Sampling, sample
from w2v_jax.types import Array, Consts, Params


class Texts(NamedTuple):
    tokens: Array
    """int32 [B, N]; those beyond `lengths` mean nothing."""
    lengths: Array
    """int32 [B], new tokens of each text, including its end token."""
    nats: Array
    """float32 [B, N], -ln of each new token's probability under the model itself, whatever `Sampling` made of it;
    [B, 0] where it is not asked for."""


class Slide(NamedTuple):
    """How a text goes on beyond the context: a fresh memory reads the last tokens again."""

    context: int
    """Tokens in the memory where it is full, and its capacity."""
    again: int
    """The last tokens of the text that are then read from nothing, 1 to `context`."""


class Before(NamedTuple):
    """What was read before the first new token, for `Slide`."""

    tokens: Array
    """int32 [context], the last ones at the end; those that were not read mean nothing."""
    read: Array
    """int32 scalar, how many of them were read."""


def before(slide: Slide, prompt: np.ndarray) -> Before:
    """The `Before` of a prompt int32 [T] of at most `slide.context` tokens."""
    return Before(jnp.asarray(np.pad(prompt, (slide.context - len(prompt), 0))), jnp.int32(len(prompt)))


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
    slide: Slide | None,
    weights: Params,
    consts: Consts,
    kept: Any,
    logits: Array,
    keys: Array,
    past: Before | None = None,
    scored: bool = True,
) -> Texts:
    """At most `count` new tokens of every text. A text ends with its end token, the loop with the last text.

    Args:
      decode, cfg, consts: of the model.
      sampling: how to draw tokens.
      count: N, at least 1. The last token is not read: without `slide` `kept` needs room for N - 1.
      end_id: the end token; None without one.
      slide: with it `kept` has room for `slide.context` tokens of a text, and where it is full, `slide.again` are read
        again; None where all tokens fit.
      weights: of `decode.weights`.
      kept, logits: of `prefill`.
      keys: of `text_keys`; token n of a text is drawn with `fold_in(key, n)`.
      past: what `kept` has read, with `slide` only.
      scored: whether `Texts.nats` is asked for.
    """
    rows, end = keys.shape[0], -1 if end_id is None else end_id
    old = jnp.zeros(0, jnp.int32) if past is None else past.tokens
    size = len(old)  # the first new token stands at this place of the buffer

    def draw(logits: Array, place: Array | int, nats: Array) -> tuple[Array, Array]:
        token = sample(logits, jax.vmap(jax.random.fold_in, (0, None))(keys, place), sampling)
        if not scored:
            return token, nats
        own = jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, token[:, None], axis=1)[:, 0]
        return token, jax.lax.dynamic_update_slice(nats, own.astype(jnp.float32)[:, None], (0, place))

    def unfinished(held: Any) -> Array:
        place, *_, alive = held
        return (place < count) & alive.any()

    def read_last(place: Array, read: Array, kept: Any, tokens: Array) -> tuple[Array, Any, Array]:
        last = jax.lax.dynamic_slice(tokens, (0, size + place - 1), (rows, 1))
        return *decode.step(cfg, weights, consts, kept, last), read + 1

    def read_again(place: Array, read: Array, kept: Any, tokens: Array) -> tuple[Array, Any, Array]:
        assert slide is not None
        some = jax.lax.dynamic_slice(tokens, (0, size + place - slide.again), (rows, slide.again))
        fresh = decode.start(cfg, rows, slide.context)
        return *decode.step(cfg, weights, consts, fresh, some), jnp.int32(slide.again)

    def one(held: Any) -> Any:
        place, read, kept, texts, alive = held
        given = place, read, kept, texts.tokens
        if slide is None:
            logits, kept, read = read_last(*given)
        else:
            logits, kept, read = jax.lax.cond(read == slide.context, read_again, read_last, *given)
        token, nats = draw(logits, place, texts.nats)
        tokens = jax.lax.dynamic_update_slice(texts.tokens, token[:, None], (0, size + place))
        return place + 1, read, kept, Texts(tokens, texts.lengths + alive, nats), alive & (token != end)

    none = jnp.zeros((rows, count if scored else 0), jnp.float32)
    first, nats = draw(jnp.broadcast_to(logits[None], (rows, *logits.shape)), 0, none)
    tokens = jnp.zeros((rows, size + count), jnp.int32).at[:, :size].set(old).at[:, size].set(first)
    read = jnp.int32(0) if past is None else past.read
    start = (jnp.int32(1), read, kept, Texts(tokens, jnp.ones(rows, jnp.int32), nats), first != end)
    texts = jax.lax.while_loop(unfinished, one, start)[3]
    return texts._replace(tokens=texts.tokens[:, size:])
