"""Collapsed Gibbs sampling for LDA over tiles of documents, the same for any number of devices.

The topic of token i, word w in document d, is drawn from (Griffiths and Steyvers 2004, doi 10.1073/pnas.0307752101)

    p(z_i = k | all others)  proportional to  (n_dk + alpha_k) (n_wk + eta) / (n_k + V eta)

with counts that leave out the token itself. Two of the counts are older than the last draw:
- n_wk and n_k are those before the batch of documents (approximate distributed LDA, Newman et al. 2009, JMLR 10);
- n_dk are those before the phase. A document has no two tokens in one phase unless it has more tokens than there are
  phases, so that its counts are exact up to this length.
Both make it an approximation of the sequential sampler. Counts are whole numbers, whose sums have no order, and the
random numbers of a token are a hash of its place: so the draws do not depend on the devices.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from w2v_jax.data.bags import Streams
from w2v_jax.models.tiles import TILES, tile_parts, whole
from w2v_jax.nn.categorical import draw, one_hot, unit
from w2v_jax.nn.dirichlet import fit_counts
from w2v_jax.nn.draws import threefry
from w2v_jax.types import Array

State = dict[str, Array]


def sweep_tile(
    words: Array,
    slot: Array,
    topics: Array,
    key: Array,
    table: Array,
    counts: Array,
    totals: Array,
    alpha: Array,
    eta: Array,
    *,
    documents: int,
) -> tuple[Array, Array]:
    """New topics of all tokens of a tile, int32 [T, M]; and the sum of log p(w_i | all other tokens), nats.

    Args:
      words, slot, topics: the tokens, int32 [T, M]; the slot `documents` is no token.
      key: uint32 [2], of this tile in this sweep.
      table: (n_wk + eta) / (n_k + V eta), float32 [V, K].
      counts, totals: n_wk int32 [V, K] and n_k int32 [K], of the same age.
      alpha, eta: [K] and a scalar.
      documents: D, the places for documents of a tile.
    """
    size, phases = counts.shape[0], words.shape[0]
    places = jnp.arange(words.shape[1], dtype=jnp.uint32)
    there = (slot < documents).astype(jnp.float32)
    own = jnp.zeros((documents + 1, alpha.shape[0]), jnp.float32).at[slot, topics].add(there)

    lengths = own.sum(1) + alpha.sum() - 1

    def phase(state: tuple[Array, Array], part: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        own, nats = state
        number, words, slot, there, old = part
        weights = table.at[words].get(mode="promise_in_bounds") * (
            own.at[slot].get(mode="promise_in_bounds") + alpha[None]
        )
        n = counts[words, old].astype(jnp.float32)
        without = (n - there + eta) / (totals[old].astype(jnp.float32) - there + size * eta)
        without = without * (own[slot, old] - there + alpha[old])
        weights = jnp.where(one_hot(old, alpha.shape[0]), without[:, None], weights)
        bits = threefry(key, jnp.broadcast_to(number, places.shape), places)[0]
        new = draw(weights, unit(bits))
        nats = nats + jnp.where(there > 0, jnp.log(weights.sum(1) / lengths[slot]), 0.0).sum()
        return (own.at[slot, old].add(-there).at[slot, new].add(there), nats), new

    xs = (jnp.arange(phases, dtype=jnp.uint32), words, slot, there, topics)
    (_, nats), new = jax.lax.scan(phase, (own, jnp.float32(0.0)), xs)
    return new, nats


def word_table(counts: Array, totals: Array, eta: Array) -> Array:
    """(n_wk + eta) / (n_k + V eta): the topics, float32 [V, K], columns of sum 1."""
    return (counts + eta) / (totals + counts.shape[0] * eta)[None]


def count(words: Array, topics: Array, there: Array, vocab_size: int, size: int) -> Array:
    """n_wk, int32 [V, K], of tokens of any shape; `there` int32, 0 where there is no token."""
    return jnp.zeros((vocab_size, size), jnp.int32).at[words.reshape(-1), topics.reshape(-1)].add(there.reshape(-1))


def begin(data: Streams, size: int, vocab_size: int, seed: int) -> State:
    """Topics drawn evenly, int32 [B, G, T, M], and their counts."""
    key = jnp.array([seed, 0], jnp.uint32)
    places = jnp.arange(data.words.size, dtype=jnp.uint32)
    bits = threefry(key, jnp.full_like(places, 2**32 - 1), places)[0]  # a step's number never comes so far
    topics = jnp.minimum((unit(bits) * size).astype(jnp.int32), size - 1).reshape(data.words.shape)
    there = jnp.asarray(data.slot < data.documents, jnp.int32)
    return {"topics": topics, "counts": count(jnp.asarray(data.words), topics, there, vocab_size, size), "key": key}


def steps(cfg: Any, mesh: Mesh, data: Streams) -> Callable[[State], State]:
    """One draw of every topic of batch t mod B of B. State: the topics [B, G, T, M] and counts [V, K], int32, the key
    uint32 [2], alpha [K], eta, the step's number, and the nats of the sweep so far (see `sweep_tile`)."""
    parts = len(data.words)

    over = tile_parts(mesh, partial(sweep_tile, documents=data.documents), 4)

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, words: Array, slot: Array) -> State:
        t, counts, eta = state["step"], state["counts"], state["eta"]
        batch, totals = t % parts, state["counts"].sum(0)
        tiles = jnp.arange(TILES, dtype=jnp.uint32)
        keys = jnp.stack(threefry(state["key"], jnp.full_like(tiles, t.astype(jnp.uint32)), tiles), 1)
        old = state["topics"][batch]
        table = word_table(counts, totals, eta)
        new, nats = over(words, slot, old, keys, table, counts, totals, state["alpha"], eta)
        nats = jnp.where(batch == 0, 0.0, state["nats"]) + nats.sum()
        there = (slot < data.documents).astype(jnp.int32)
        size = (cfg.vocab_size, cfg.topics)
        counts = counts - count(words, old, there, *size) + count(words, new, there, *size)
        return dict(state, topics=state["topics"].at[batch].set(new), counts=counts, step=t + 1, nats=nats)

    placed = [whole(mesh, (data.words[b], data.slot[b])) for b in range(parts)]
    return lambda state: step(state, *placed[int(state["step"]) % parts])


def priors(cfg: Any, mesh: Mesh, data: Streams) -> Callable[[State], State]:
    """One iteration of Minka's fixed point for alpha, over documents, and for eta, over topics, as `cfg` says."""
    places = data.documents + 1
    first = places * np.arange(len(data.slot) * TILES, dtype=np.int32).reshape(-1, TILES, 1, 1)
    row, there = whole(mesh, (first + data.slot, (data.slot < data.documents).astype(np.float32)))
    rows = places * len(data.slot) * TILES

    @jax.jit
    def fitted(state: State, row: Array, there: Array) -> State:
        new, alpha = dict(state), state["alpha"]
        if cfg.fit_alpha != "no":
            own = jnp.zeros((rows, len(alpha)), jnp.float32).at[row, state["topics"]].add(there)
            new["alpha"] = fit_counts(own, alpha, cfg.fit_alpha == "symmetric", steps=1)
        if cfg.fit_eta:
            by_topic = state["counts"].T.astype(jnp.float32)
            eta = jnp.full(by_topic.shape[1], state["eta"])
            new["eta"] = fit_counts(by_topic, eta, True, steps=1)[0]
        return new

    return lambda state: fitted(state, row, there)
