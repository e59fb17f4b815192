"""The probability that fitted topics give new documents, from left to right.

    p(w | topics, alpha) = sum over z of prod_n p(w_n, z_n | z_<n),
    p(w_n, z_n = k | z_<n) = topic_k(w_n) (n_k + alpha_k) / (n - 1 + sum alpha),   n_k counts z_<n

has one term for each assignment z. Left-to-right sampling (Wallach et al. 2009, "Evaluation methods for topic models")
draws z_n from the terms of word n, in R particles. Of a particle let p_n = sum_k p(w_n, z_n = k | z_<n).

- 'unbiased' is log mean_r prod_n p_n (Buntine 2009, doi 10.1007/978-3-642-05224-8_6): the mean is an unbiased estimate
  of p(w). Its logarithm is too low in the mean, the less the more particles there are.
- 'wallach' is sum_n log mean_r p_n, the published form. Its particles are not weighted: it is biased, with any number.

With `moves` the earlier topics are drawn again before each word, given all words so far: O(N^2) in place of O(N), and
less variance. Both forms stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.nn import categorical
from w2v_jax.nn.draws import threefry
from w2v_jax.types import Array

# (number of the draw, weights [B, R, K]) -> topics int32 [B, R]
Pick = Callable[[Array, Array], Array]
_ROWS = 4096  # particles of documents at a time


class Estimate(NamedTuple):
    """Log-probabilities of B documents, nats, float [B]; and of each particle, [B, R]."""

    unbiased: Array
    wallach: Array
    product: Array  # log prod_n p_n
    drawn: Array  # log probability of all that was drawn


def run(words: Array, lengths: Array, topics: Array, alpha: Array, particles: int, moves: bool, pick: Pick) -> Estimate:
    """The estimates with the draws of `pick`: words int32 [B, N], lengths int32 [B], topics float [V, K], alpha [K]."""
    (rows, width), size = words.shape, alpha.shape[0]
    kind, whole = topics.dtype, alpha.sum()
    at = jnp.arange(width)

    def hot(z: Array, there: Array) -> Array:
        return categorical.one_hot(jnp.where(there[:, None], z, size), size)

    def choose(state: Any, number: Array, weights: Array, there: Array) -> tuple[Array, Array]:
        z = pick(number, weights)
        chosen = jnp.take_along_axis(weights, z[..., None], -1)[..., 0] / weights.sum(-1)
        return z, state + jnp.where(there[:, None], jnp.log(chosen), 0.0)

    def move(n: Array, earlier: Array, state: Any) -> Any:
        counts, z, drawn = state
        there = n < lengths
        old = jax.lax.dynamic_index_in_dim(z, earlier, 2, keepdims=False)
        without = counts - hot(old, there)
        word = topics[jax.lax.dynamic_index_in_dim(words, earlier, 1, keepdims=False)]
        new, drawn = choose(drawn, n * (n + 1) // 2 + earlier, word[:, None] * (without + alpha[None, None]), there)
        z = jax.lax.dynamic_update_index_in_dim(z, new, earlier, 2)
        return without + hot(new, there), z, drawn

    def step(state: Any, n: Array) -> tuple[Any, None]:
        counts, z, drawn, product, wallach = state
        if moves:
            counts, z, drawn = jax.lax.fori_loop(0, n, partial(move, n), (counts, z, drawn))
        there = n < lengths
        joint = topics[words[:, n]][:, None] * (counts + alpha[None, None]) / (n + whole)
        p = joint.sum(-1)
        product = product + jnp.where(there[:, None], jnp.log(p), 0.0)
        wallach = wallach + jnp.where(there, jnp.log(p.mean(1)), 0.0)
        new, drawn = choose(drawn, n * (n + 1) // 2 + n, joint, there)
        z = jax.lax.dynamic_update_index_in_dim(z, new, n, 2) if moves else z
        return (counts + hot(new, there), z, drawn, product, wallach), None

    kept = jnp.zeros((rows, particles, width if moves else 0), jnp.int32)
    zero = jnp.zeros((rows, particles), kind)
    start = (jnp.zeros((rows, particles, size), kind), kept, zero, zero, jnp.zeros(rows, kind))
    (_, _, drawn, product, wallach), _ = jax.lax.scan(step, start, at)
    unbiased = jax.nn.logsumexp(product, axis=1) - jnp.log(jnp.asarray(particles, kind))
    return Estimate(unbiased, wallach, product, drawn)


@partial(jax.jit, static_argnames=("particles", "moves"))
def _sampled(
    words: Array, lengths: Array, topics: Array, alpha: Array, key: Array, *, particles: int, moves: bool
) -> tuple[Array, Array]:
    rows = jnp.arange(words.shape[0] * particles, dtype=jnp.uint32).reshape(words.shape[0], particles)

    def pick(number: Array, weights: Array) -> Array:
        bits = threefry(key, jnp.broadcast_to(number.astype(jnp.uint32), rows.shape), rows)[0]
        return categorical.draw(weights, categorical.unit(bits))

    found = run(words, lengths, topics, alpha, particles, moves, pick)
    return found.unbiased, found.wallach


def left_to_right(
    documents: list[np.ndarray], topics: Any, alpha: Any, *, particles: int = 10, moves: bool = False, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """('unbiased', 'wallach') log-probability of each document, nats, float64 [D] each; see above. An empty one has 0.

    Args:
      documents: word ids, int [N_d]. Their words are read in this order.
      topics: probabilities of words, float32 [V, K], columns of sum 1; above 0 where a document has the word.
      alpha: [K].
      particles: R.
      moves: draw earlier topics again.
      seed: of the draws.
    """
    lengths = np.array([len(d) for d in documents], np.int64)
    out = np.zeros((2, len(documents)))
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    topics, alpha = jnp.asarray(topics, jnp.float32), jnp.asarray(alpha, jnp.float32)
    rows, at = max(1, _ROWS // particles), 0
    while at < len(order):
        # Widths are powers of two, so that few programs are compiled; a batch is of one width.
        width = 1 << int(lengths[order[at]] - 1).bit_length()
        some = order[at : at + rows]
        some = some[lengths[some] <= width]
        words = np.zeros((rows, width), np.int32)
        for row, document in enumerate(some):
            words[row, : lengths[document]] = documents[document]
        held = np.zeros(rows, np.int32)
        held[: len(some)] = lengths[some]
        key = jnp.array([seed, at], jnp.uint32)
        found = _sampled(words, held, topics, alpha, key, particles=particles, moves=moves)
        for kind, values in zip(out, found, strict=True):
            kind[some] = np.asarray(values, np.float64)[: len(some)]
        at += len(some)
    return out[0], out[1]
