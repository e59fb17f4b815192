"""Draws the next token from logits z: greedily, by temperature, from the k likeliest or the likeliest share p.

    q_i = softmax(z / temperature)_i        temperature 0: the likeliest token

`top_k` keeps the k likeliest tokens. Of these `top_p` keeps the smallest set, likeliest first, whose share of their
probability reaches p (nucleus sampling, Holtzman et al. 2020, arXiv 1904.09751). Of tokens with equal logits the lower
id counts as likelier, so exactly k are kept. A token that is `never` drawn has no probability before all this.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from w2v_jax.config import check
from w2v_jax.types import Array

COLDEST = 1e-6  # logits divided by a lower temperature would overflow


@dataclasses.dataclass(frozen=True)
class Sampling:
    temperature: float = 1.0  # 0: greedy
    top_k: int = 0  # 0: all tokens
    top_p: float = 1.0
    never: int | None = None  # a token that is not drawn

    def __post_init__(self) -> None:
        warm = math.isfinite(self.temperature) and (self.temperature == 0 or self.temperature >= COLDEST)
        check(warm, "temperature", self.temperature, f"0 (greedy), or {COLDEST:g} or more")
        check(self.top_k >= 0, "top_k", self.top_k, "0 (all tokens) or more")
        check(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1 (all tokens)")

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0


def warmed(logits: Array, sampling: Sampling) -> Array:
    """z / temperature, float32 [B, V], shifted so that the maximum of a row is 0; not for greedy sampling."""
    return (logits - logits.max(-1, keepdims=True)) / sampling.temperature


def kept(scores: Array, sampling: Sampling) -> Array:
    """The tokens that may be drawn, bool [B, V], from scores z / temperature, float32 [B, V]."""
    vocab = scores.shape[-1]
    best, order = jax.lax.top_k(scores, min(sampling.top_k or vocab, vocab))  # equal scores: the lower id first
    share = jax.nn.softmax(best, axis=-1)
    stays = jnp.ones_like(best, bool)
    if sampling.top_p < 1:  # at 1, rounding could drop the last tokens
        stays = jnp.cumsum(share, -1) - share < sampling.top_p
    return jax.vmap(lambda order, stays: jnp.zeros(vocab, bool).at[order].set(stays))(order, stays)


def sample(logits: Array, keys: Array, sampling: Sampling) -> Array:
    """The next token of every text, int32 [B], from logits float32 [B, V] and one random key per text [B]."""
    if sampling.never is not None:
        logits = logits.at[:, sampling.never].set(-jnp.inf)
    if sampling.greedy:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    scores = warmed(logits, sampling)
    if sampling.top_k or sampling.top_p < 1:
        scores = jnp.where(kept(scores, sampling), scores, -jnp.inf)
    return jax.vmap(jax.random.categorical)(keys, scores).astype(jnp.int32)
