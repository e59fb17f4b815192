"""Draws the next token from logits: greedily, by temperature, among the likeliest k or the likeliest share p.

    q_i = softmax(z / temperature)_i        temperature 0: the likeliest token

`top_k` leaves the k likeliest; of these `top_p` leaves the smallest set, likeliest first, whose share of their
probability reaches p (nucleus sampling, Holtzman et al. 2020, arXiv 1904.09751). Of equal tokens the one of the lower
id counts as likelier, so that exactly k stay.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from w2v_jax.config import check
from w2v_jax.types import Array

COLDEST = 1e-6  # a temperature above 0 and below it would overflow what it divides


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is drawn."""

    temperature: float = 1.0  # 0: greedy
    top_k: int = 0  # 0: all tokens
    top_p: float = 1.0

    def __post_init__(self) -> None:
        warm = math.isfinite(self.temperature) and (self.temperature == 0 or self.temperature >= COLDEST)
        check(warm, "temperature", self.temperature, f"0 (greedy), or a number from {COLDEST:g} on")
        check(self.top_k >= 0, "top_k", self.top_k, "0 (all tokens) or more")
        check(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1 (all tokens)")

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn at all."""
        return self.temperature == 0


def warmed(logits: Array, sampling: Sampling) -> Array:
    """z / temperature, up to a number a row that the softmax does not see; float32 [B, V], not for greedy sampling."""
    return (logits - logits.max(-1, keepdims=True)) / sampling.temperature


def kept(scores: Array, sampling: Sampling) -> Array:
    """Which tokens may be drawn, bool [B, V]; `scores` is z / temperature, float32 [B, V]."""
    vocab = scores.shape[-1]
    best, order = jax.lax.top_k(scores, min(sampling.top_k or vocab, vocab))  # of equal ones the lower id first
    share = jax.nn.softmax(best, axis=-1)
    stays = jnp.ones_like(best, bool)
    if sampling.top_p < 1:  # at 1 rounding could reach it before the last token
        stays = jnp.cumsum(share, -1) - share < sampling.top_p
    return jax.vmap(lambda order, stays: jnp.zeros(vocab, bool).at[order].set(stays))(order, stays)


def sample(logits: Array, keys: Array, sampling: Sampling) -> Array:
    """The next token of every text, int32 [B].

    Args:
      logits: float32 [B, V].
      keys: random keys [B], one a text, so that no text's draw depends on the others.
      sampling: fixed while compiled.
    """
    if sampling.greedy:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    scores = warmed(logits, sampling)
    if sampling.top_k or sampling.top_p < 1:
        scores = jnp.where(kept(scores, sampling), scores, -jnp.inf)
    return jax.vmap(jax.random.categorical)(keys, scores).astype(jnp.int32)
