"""The positions that a masked language model predicts, and its input there (Devlin et al. 2018, arXiv 1810.04805).

Of the n tokens of a row, round(share * n) and at least one are chosen and predicted. Four fifths of them are replaced
by the mask, a tenth by a random word, and the rest stay. Their number depends on the length of the row alone, so only
these positions go through the head.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from w2v_jax.types import Array

SHARE = 0.15
MASKED, REPLACED = 0.8, 0.1  # of the chosen


class Masked(NamedTuple):
    """Rows of text with some tokens hidden."""

    inputs: Array  # int32 [B, T] of the model
    places: Array  # int32 [B, K], distinct positions
    targets: Array  # int32 [B, K], the tokens that were there; -1 where a place is not predicted


def chosen_count(length: int, share: float = SHARE) -> int:
    """K, positions chosen in a row without padding."""
    return max(1, math.floor(share * length + 0.5))


def keys_by_row(rng: Array, row: Array) -> Array:
    """One random key per row, int32 [B] -> [B], the same on any device and in any microbatch."""
    return jax.vmap(lambda index: jax.random.fold_in(rng, index))(row)


def keys_by_text(text: Array) -> Array:
    """One random key per row, int32 [B, T] -> [B], from its tokens alone: every evaluation hides the same."""
    # A polynomial in an odd number modulo 2^32: the sum depends on every token and its place.
    powers = jnp.cumprod(jnp.full(text.shape[1], 0x9E3779B1, jnp.uint32))
    digest = jnp.sum((text.astype(jnp.uint32) + 1) * powers[None], axis=1, dtype=jnp.uint32)
    return keys_by_row(jax.random.key(0), digest)


def hide(keys: Array, text: Array, vocab_size: int, share: float = SHARE) -> Masked:
    """Hides tokens of text int32 [B, T], -1 after the end of a row, by random keys [B]. Token V is the mask."""
    count = chosen_count(text.shape[1], share)

    def one(key: Array, text: Array) -> Masked:
        where, kind, word = jax.random.split(key, 3)
        there = text >= 0
        words = there.sum()
        wanted = jnp.maximum(1, jnp.floor(share * words + 0.5).astype(jnp.int32))
        places = jnp.argsort(jnp.where(there, jax.random.uniform(where, text.shape), 2.0))[:count]
        asked = (jnp.arange(count) < wanted) & there[places]
        draw = jax.random.uniform(kind, (count,))
        other = jax.random.randint(word, (count,), 0, vocab_size)
        read = jnp.where(draw < MASKED, vocab_size, jnp.where(draw < MASKED + REPLACED, other, text[places]))
        inputs = text.at[places].set(jnp.where(asked, read, text[places]), unique_indices=True)
        return Masked(jnp.maximum(inputs, 0), places.astype(jnp.int32), jnp.where(asked, text[places], -1))

    return jax.vmap(one)(keys, text)


def take_places(x: Array, places: Array) -> Array:
    """Rows of x at distinct places, [B, T, D] and int32 [B, K] -> [B, K, D]."""
    return jax.vmap(lambda x, places: x.at[places].get(mode="promise_in_bounds", unique_indices=True))(x, places)
