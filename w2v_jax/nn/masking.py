"""The positions that a masked language model predicts, and its input there (Devlin et al. 2018, arXiv 1810.04805).

Of the n tokens of a row, round(share * n) and at least one are chosen and predicted. Four fifths of them are replaced
by the mask, a tenth by a random word, and the rest stay. Their number depends on the length of the row alone, so only
these positions go through the head.

Where tokens are parts of words, whole words may be hidden instead: words are drawn, and as many are hidden as fit into
the same number of tokens. The first one drawn is hidden as far as that number goes.
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


def word_numbers(text: Array, bounds: Array) -> Array:
    """The word of each token of a text int32 [T], counted from 0; int32 [T]. `bounds` int32 [V] says of a token whether
    it begins a word (1) or is one by itself, so that the next begins one too (2); 0: it goes on."""
    bound = jnp.where(text >= 0, bounds[jnp.maximum(text, 0)], 2)
    after = jnp.concatenate([jnp.zeros(1, bool), bound[:-1] == 2])
    return jnp.cumsum(((bound > 0) | after).at[0].set(False)).astype(jnp.int32)


def _by_words(order: Array, number: Array, wanted: Array) -> tuple[Array, Array]:
    """(tokens, those of a word together, by what `order` [T] has for its first token, int32 [T]; whether the word of
    each ends within the first `wanted` of them, or is the first of all, bool [T])."""
    first, end = (jnp.searchsorted(number, number, side=side) for side in ("left", "right"))
    places, rank = jnp.argsort(order[first]), jnp.arange(len(number))
    return places, (rank + end[places] - places <= wanted) | (rank == places - first[places])


def hide(keys: Array, text: Array, vocab_size: int, share: float = SHARE, bounds: Array | None = None) -> Masked:
    """Hides tokens of text int32 [B, T], -1 after the end of a row, by random keys [B]. Token V is the mask. With
    `bounds` of `word_numbers` whole words are hidden."""
    count = chosen_count(text.shape[1], share)

    def one(key: Array, text: Array) -> Masked:
        where, kind, word = jax.random.split(key, 3)
        there = text >= 0
        words = there.sum()
        wanted = jnp.maximum(1, jnp.floor(share * words + 0.5).astype(jnp.int32))
        order = jnp.where(there, jax.random.uniform(where, text.shape), 2.0)
        if bounds is None:
            places, whole = jnp.argsort(order), jnp.ones_like(there)
        else:
            places, whole = _by_words(order, word_numbers(text, bounds), wanted)
        places = places[:count]
        asked = (jnp.arange(count) < wanted) & there[places] & whole[:count]
        draw = jax.random.uniform(kind, (count,))
        other = jax.random.randint(word, (count,), 0, vocab_size)
        read = jnp.where(draw < MASKED, vocab_size, jnp.where(draw < MASKED + REPLACED, other, text[places]))
        inputs = text.at[places].set(jnp.where(asked, read, text[places]), unique_indices=True)
        return Masked(jnp.maximum(inputs, 0), places.astype(jnp.int32), jnp.where(asked, text[places], -1))

    return jax.vmap(one)(keys, text)


def take_places(x: Array, places: Array) -> Array:
    """Rows of x at distinct places, [B, T, D] and int32 [B, K] -> [B, K, D]."""
    return jax.vmap(lambda x, places: x.at[places].get(mode="promise_in_bounds", unique_indices=True))(x, places)
