"""Variational inference for LDA: the steps over documents and over topics, and the bound.

    q(theta_d) = Dirichlet(gamma_d)    q(beta_k) = Dirichlet(lambda_k)    q(z = k of word w in d) = phi_dwk

    phi_dwk    proportional to  t_dk b_wk,   t_dk = exp E[log theta_dk],  b_wk = exp E[log beta_kw]
    gamma_dk   = alpha_k + sum_w n_dw phi_dwk
    lambda_kw  = eta + sum_d n_dw phi_dwk

E[log theta_dk] = psi(gamma_dk) - psi(sum_k gamma_dk), of beta likewise (Hoffman, Blei and Bach 2010, "Online learning
for latent Dirichlet allocation"). With `collapsed` the weights are t_dk = gamma_dk and b_wk = lambda_wk / sum_w
lambda_wk instead: the zero-order collapsed bound CVB0 without the removal of the word's own share (SCVB0, Foulds et al.
2013, arXiv 1305.2452), which costs no digamma.

Tables are word by topic, [V, K], so that a word's numbers lie together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh

from w2v_jax.data.bags import Bags
from w2v_jax.models.tiles import tile_parts, whole
from w2v_jax.nn.dirichlet import (
    HIGHEST,
    LOWEST,
    digamma,
    expected_rise,
    fit_mean_log,
    fit_mean_log_symmetric,
    log_gamma,
)
from w2v_jax.types import Array

State = dict[str, Array]

_LEAST = -40.0  # of log weights relative to the largest: a product of two stays a normal float32


class Tile(NamedTuple):
    """Documents of one tile; see `w2v_jax.data.bags.Bags`."""

    words: Array  # int32 [S, C]
    counts: Array  # float [S, C]
    slot: Array  # int32 [S]
    tokens: Array  # float [D]


class Found(NamedTuple):
    """What the step over the documents of a tile found."""

    gamma: Array  # [D, K]
    weight: Array  # t [D, K], each row divided by its largest number
    ratio: Array  # n_dw / sum_k t_dk b_wk, [S, C]
    steps: Array  # int32, inner iterations


class Table(NamedTuple):
    """The weights of words and topics."""

    weight: Array  # b [V, K], each row divided by its largest number
    log_largest: Array  # log of that number, [V]


def topic_table(lam: Array, collapsed: bool) -> Table:
    """The weights b of `lam` [V, K]."""
    if collapsed:
        share = lam / lam.sum(0)[None]
        largest = share.max(1)
        return Table(share / largest[:, None], jnp.log(largest))
    expected = digamma(lam) - digamma(lam.sum(0))[None]
    largest = expected.max(1)
    return Table(jnp.exp(jnp.maximum(expected - largest[:, None], _LEAST)), largest)


def document_weight(gamma: Array, collapsed: bool) -> Array:
    """The weights t of `gamma` [D, K], up to a factor of each row."""
    if collapsed:
        return gamma
    # Differences of the largest: digamma rises.
    expected = digamma(gamma)
    return jnp.exp(jnp.maximum(expected - expected.max(1, keepdims=True), _LEAST))


def fit_documents(
    tile: Tile, table: Array, alpha: Array, gamma: Array, *, collapsed: bool, most: int, tolerance: float
) -> Found:
    """Gamma of every document of a tile, the topics given: coordinate ascent, all documents at once.

    It ends when less than the share `tolerance` of the tile's tokens changed their topic in an iteration, or after
    `most` iterations. `table` is `Table.weight`; `gamma` [D, K] is where it begins.
    """
    documents = gamma.shape[0]
    rows = table.at[tile.words].get(mode="promise_in_bounds")  # [S, C, K]
    total = jnp.maximum(tile.tokens.sum(), 1.0)

    def shares(gamma: Array) -> tuple[Array, Array]:
        weight = document_weight(gamma, collapsed)
        own = weight.at[tile.slot].get(mode="clip")
        norm = jnp.einsum("sck,sk->sc", rows, own, precision=jax.lax.Precision.HIGHEST)
        return weight, tile.counts / norm

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, gamma, _ = state
        weight, ratio = shares(gamma)
        part = jnp.einsum("sc,sck->sk", ratio, rows, precision=jax.lax.Precision.HIGHEST)
        whole = jax.ops.segment_sum(part, tile.slot, documents, indices_are_sorted=True)
        new = alpha[None] + weight * whole
        return count + 1, new, jnp.abs(new - gamma).sum() / total

    def goes_on(state: tuple[Array, Array, Array]) -> Array:
        return (state[0] < most) & (state[2] > tolerance)

    start = (jnp.int32(0), gamma, jnp.asarray(jnp.inf, gamma.dtype))
    count, gamma, _ = jax.lax.while_loop(goes_on, step, start)
    weight, ratio = shares(gamma)
    return Found(gamma, weight, ratio, count)


def cold(tokens: Array, alpha: Array) -> Array:
    """Gamma before the first iteration: every token split evenly over the topics, [D, K]."""
    return alpha[None] + tokens[:, None] / alpha.shape[0]


def add_counts(total: Array, words: Array, slot: Array, weight: Array, ratio: Array) -> Array:
    """Adds sum_d n_dw phi_dwk / b_wk of a tile to `total` [V, K], word after word: `b * total` are expected counts."""
    own = weight.at[slot].get(mode="clip")
    part = ratio[:, :, None] * own[:, None, :]
    return total.at[words.reshape(-1)].add(part.reshape(-1, part.shape[-1]), mode="promise_in_bounds")


def document_bound(tile: Tile, table: Table, alpha: Array, gamma: Array) -> tuple[Array, Array]:
    """The documents' part of the evidence lower bound, nats, a scalar; and sum_d E[log theta_dk], [K].

        sum_w n_dw log sum_k exp(E[log theta_dk] + E[log beta_kw])  -  KL(Dirichlet(gamma_d) || Dirichlet(alpha))

    with phi at its best given gamma and lambda. Places without a document count 0.
    """
    known = (tile.tokens > 0).astype(gamma.dtype)
    expected = digamma(gamma) - digamma(gamma.sum(1, keepdims=True))
    largest = expected.max(1, keepdims=True)
    own = jnp.exp(expected - largest).at[tile.slot].get(mode="clip")
    rows = table.weight.at[tile.words].get(mode="promise_in_bounds")
    norm = jnp.einsum("sck,sk->sc", rows, own, precision=jax.lax.Precision.HIGHEST)
    logs = jnp.log(norm) + table.log_largest[tile.words] + largest[:, 0].at[tile.slot].get(mode="clip")[:, None]
    words = jnp.where(tile.counts > 0, tile.counts * logs, 0.0).sum()
    kl = dirichlet_kl(gamma, jnp.broadcast_to(alpha, gamma.shape), expected)
    return words - (known * kl).sum(), (known[:, None] * expected).sum(0)


@jax.jit
def topic_bound(lam: Array, eta: Array) -> Array:
    """The topics' part of the evidence lower bound: -sum_k KL(Dirichlet(lambda_k) || Dirichlet(eta)), nats."""
    expected = digamma(lam) - digamma(lam.sum(0))[None]
    return -dirichlet_kl(lam.T, jnp.full_like(lam.T, eta), expected.T).sum()


def dirichlet_kl(a: Array, b: Array, expected: Array) -> Array:
    """KL(Dirichlet(a) || Dirichlet(b)) of each row of [N, K]; `expected` is E[log p] under the first. Nats, [N]."""
    ours = log_gamma(a.sum(1)) - log_gamma(a).sum(1)
    theirs = log_gamma(b.sum(1)) - log_gamma(b).sum(1)
    return ours - theirs + ((a - b) * expected).sum(1)


def point_nats(tile: Tile, table: Table, found: Found) -> Array:
    """sum_dw n_dw log sum_k theta_dk beta_kw of point estimates; t and b are those of `collapsed`. A scalar."""
    share = jnp.log(found.gamma.sum(1)).at[tile.slot].get(mode="clip")
    norm = jnp.where(tile.counts > 0, tile.counts / found.ratio, 1.0)
    logs = jnp.log(norm) + table.log_largest[tile.words] - share[:, None]
    return jnp.where(tile.counts > 0, tile.counts * logs, 0.0).sum()


def fit_priors(cfg: Any, state: State) -> State:
    """`state` with alpha and eta fitted, as `cfg` says: to the means of E[log theta_dk] and E[log beta_kw]. For cvb0 it
    is one iteration of Minka's fixed point with expected counts."""
    new, alpha, lam = dict(state), state["alpha"], state["lambda"]
    if cfg.method == "cvb0":
        ratio = state["rise"][:-1] / jnp.maximum(state["rise"][-1], 1e-30)
        ratio = jnp.full_like(ratio, ratio.mean()) if cfg.fit_alpha == "symmetric" else ratio
        new["alpha"] = alpha if cfg.fit_alpha == "no" else jnp.clip(alpha * ratio, LOWEST, HIGHEST)
        if cfg.fit_eta:
            eta, counts = state["eta"], lam - state["eta"]
            above = expected_rise(counts, jnp.full_like(counts, eta)).sum(0).sum()
            whole = len(lam) * eta
            below = len(lam) * (digamma(counts.sum(0) + whole) - digamma(whole)).sum()
            new["eta"] = jnp.clip(eta * above / jnp.maximum(below, 1e-30), LOWEST, HIGHEST)
        return new
    if cfg.fit_alpha == "asymmetric":
        new["alpha"] = fit_mean_log(state["mean_log"], alpha)
    elif cfg.fit_alpha == "symmetric":
        found = fit_mean_log_symmetric(state["mean_log"].mean(), len(alpha), alpha.mean())
        new["alpha"] = jnp.full_like(alpha, found)
    if cfg.fit_eta:
        mean = digamma(lam).mean(0).mean() - digamma(lam.sum(0)).mean()
        new["eta"] = fit_mean_log_symmetric(mean, len(lam), state["eta"])
    return new


def begin(cfg: Any, rows: sp.csr_matrix, seed: int) -> State:
    """Lambda drawn from Gamma(100, 1 / 100), as Hoffman et al. do, and what a step reads; `rows` are counts [N, V]."""
    drawn = np.random.default_rng(seed).gamma(100.0, 0.01, (cfg.vocab_size, cfg.topics))
    state = {"lambda": jnp.asarray(drawn, jnp.float32)}
    if cfg.method == "cvb0":
        state["rise"] = jnp.zeros(cfg.topics + 1, jnp.float32)
    else:
        state["mean_log"] = jnp.zeros(cfg.topics, jnp.float32)
    if cfg.warm:
        sizes = np.append(np.asarray(rows.sum(1), np.float32).ravel(), 0.0)  # the last row is of no document
        state["gamma"] = cold(jnp.asarray(sizes), jnp.full(cfg.topics, cfg.alpha, jnp.float32))
    return state


def steps(cfg: Any, mesh: Mesh, data: Bags) -> Callable[[State], State]:
    """One step of online variational Bayes, over batch t mod B of B:

        lambda <- (1 - rho) lambda + rho (eta + B sum_d n_dw phi_dwk),   rho = (tau + t)^-kappa

    With one batch rho is 1: variational Bayes over the whole text. State: lambda [V, K], alpha [K], eta, the step's
    number, the nats of the sweep so far, and with `cfg.warm` gamma [N + 1, K], where each document begins. What alpha
    is fitted to: the mean of E[log theta] over documents 'mean_log' [K]; for cvb0 the numerators and the denominator of
    Minka's fixed point over the sweep so far, 'rise' [K + 1].
    """
    parts, collapsed = len(data.words), cfg.method == "cvb0"

    def tile(words: Array, counts: Array, slot: Array, sizes: Array, gamma: Array, *rest: Array) -> Any:
        *table, alpha = rest
        part, weights = Tile(words, counts, slot, sizes), Table(*table)
        found = fit_documents(
            part, weights.weight, alpha, gamma, collapsed=collapsed, most=cfg.inner, tolerance=cfg.tolerance
        )
        if collapsed:
            nats = point_nats(part, weights, found)
            known = (sizes > 0).astype(gamma.dtype)[:, None]
            logs = (known * expected_rise(found.gamma - alpha[None], jnp.broadcast_to(alpha, gamma.shape))).sum(0)
        else:
            nats, logs = document_bound(part, weights, alpha, found.gamma)
        return found.gamma, found.weight, found.ratio, nats, logs

    over = tile_parts(mesh, tile, 5)

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, words: Array, counts: Array, slot: Array, ids: Array, sizes: Array) -> State:
        t, alpha = state["step"], state["alpha"]
        table = topic_table(state["lambda"], collapsed)
        begin = state["gamma"][ids] if cfg.warm else jax.vmap(cold, (0, None))(sizes, alpha)
        gamma, weight, ratio, nats, logs = over(words, counts, slot, sizes, begin, *table, alpha)
        total = jax.lax.scan(
            lambda total, part: (add_counts(total, *part), None),
            jnp.zeros_like(state["lambda"]),
            (words, slot, weight, ratio),
        )[0]
        rho = 1.0 if parts == 1 else (cfg.tau + t) ** -cfg.kappa
        new = dict(state, step=t + 1, nats=jnp.where(t % parts == 0, 0.0, state["nats"]) + nats.sum())
        new["lambda"] = (1 - rho) * state["lambda"] + rho * (state["eta"] + parts * table.weight * total)
        if cfg.warm:
            new["gamma"] = state["gamma"].at[ids].set(gamma)
        if collapsed:
            below = (digamma(sizes + alpha.sum()) - digamma(alpha.sum())).sum()
            new["rise"] = jnp.where(t % parts == 0, 0.0, state["rise"]) + jnp.append(logs.sum(0), below)
        else:
            mean = logs.sum(0) / jnp.maximum((sizes > 0).sum(), 1)
            new["mean_log"] = jnp.where(t == 0, mean, (1 - rho) * state["mean_log"] + rho * mean)
        return new

    arrays = (data.words, data.counts, data.slot, data.ids, data.tokens)
    placed = [whole(mesh, tuple(x[b] for x in arrays)) for b in range(parts)]
    return lambda state: step(state, *placed[int(state["step"]) % parts])
