"""Latent Dirichlet allocation (Blei, Ng and Jordan 2003): every document mixes K topics, every topic is a distribution
over words.

    beta_k ~ Dirichlet(eta)    theta_d ~ Dirichlet(alpha)    z_di ~ theta_d    w_di ~ beta_{z_di}

Fitted by online variational Bayes or its collapsed form of order zero (`lda_vb`), or by collapsed Gibbs sampling
(`lda_gibbs`), in batches of documents.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from w2v_jax.config import check, check_choice, check_least
from w2v_jax.data import documents
from w2v_jax.data.bags import bags, deal, streams
from w2v_jax.errors import UserError
from w2v_jax.family import Family, Fit
from w2v_jax.models import lda_gibbs, lda_vb
from w2v_jax.models.lda_heldout import left_to_right
from w2v_jax.models.running_text import read_text, resolve
from w2v_jax.models.tiles import TILES, mesh_of, whole
from w2v_jax.nn.arrays import constant
from w2v_jax.types import Array, Consts, Leaf, Params, Words

State = dict[str, Array]
_ROWS = 512  # documents that are represented at a time


@dataclasses.dataclass(frozen=True)
class LDAConfig:
    """Options of the family."""

    topics: int = 20  # K
    # vb: online variational Bayes | cvb0: its collapsed form of order zero, without digammas | gibbs: collapsed Gibbs
    # sampling with counts that are one batch old.
    method: str = "cvb0"
    sweeps: int = 20  # passes over the documents
    batch: int = 512  # documents of a step; 0: all, which makes vb the variational Bayes of the whole text
    alpha: float = 0.1  # prior of each topic in a document, where fitting begins
    eta: float = 0.01  # prior of each word in a topic, where fitting begins
    fit_alpha: str = "asymmetric"  # a number for each topic | symmetric: one for all | no: stays what it is
    fit_eta: bool = True  # whether eta is fitted; one number for all words
    fit_after: int = 1  # sweeps before the priors are fitted
    # Of vb and cvb0:
    inner: int = 30  # most iterations over a document in a step
    tolerance: float = 0.01  # share of the tokens that change their topic, below which iterations end
    # Documents begin where the sweep before left them: faster, memory grows with the documents, and vb ends in worse
    # topics (docs/benchmarks_vectors.md).
    warm: bool = False
    kappa: float = 0.55  # the weight of step t is (tau + t)^-kappa
    tau: float = 1.0  # see kappa
    # Of gibbs:
    phases: int = 64  # groups of tokens drawn one after the other; see `lda_gibbs`
    # Of the held-out likelihood, left to right:
    evaluate_every: int = 10  # sweeps; after the last one always
    particles: int = 10  # of the left-to-right estimate
    heldout_documents: int = 200  # the first so many; 0: all
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_least(1, "model", self, "topics", "sweeps", "inner", "phases", "evaluate_every", "particles")
        check_least(0, "model", self, "batch", "fit_after", "heldout_documents", "vocab_size")
        check_choice("model.method", self.method, ("vb", "cvb0", "gibbs"))
        check_choice("model.fit_alpha", self.fit_alpha, ("asymmetric", "symmetric", "no"))
        for key in ("alpha", "eta"):
            value = getattr(self, key)
            check(0 < value < math.inf, f"model.{key}", value, "above 0 and finite")
        check(0 <= self.tolerance < 1, "model.tolerance", self.tolerance, "0 or more and below 1")
        check(0.5 < self.kappa <= 1, "model.kappa", self.kappa, "above 0.5 and at most 1, or the steps do not settle")
        check(self.tau >= 1, "model.tau", self.tau, "at least 1")


class Problem(NamedTuple):
    """What a run prepares: its documents on its devices, with the functions of a sweep."""

    steps: int  # of a sweep
    tokens: int
    documents: int  # with a known word
    empty: int  # without one
    heldout: list[np.ndarray]  # word ids of held-out documents
    start: Callable[[int], State]
    step: Callable[[State], State]
    priors: Callable[[State], State]


def prepare(cfg: LDAConfig, text: Any, seed: int, devices: Sequence[Any]) -> Problem:
    """Deals the training documents into tiles. UserError: no document, or fewer than topics."""
    lengths = np.diff(np.asarray(text.train.offsets))
    known = int((lengths > 0).sum())
    if known < cfg.topics:
        raise UserError(
            f"model.topics={cfg.topics}: the text has {known:,} documents with a known word; "
            "choose fewer topics, or give it more documents"
        )
    mesh, dealt = mesh_of(devices), None
    if cfg.method == "gibbs":
        dealt = deal(lengths, cfg.batch, TILES, seed)
        stream = streams(text.train, dealt, cfg.phases)
        step, priors = lda_gibbs.steps(cfg, mesh, stream), lda_gibbs.priors(cfg, mesh, stream)

        def start(seed: int) -> State:
            return whole(mesh, lda_gibbs.begin(stream, cfg.topics, cfg.vocab_size, seed) | _shared(cfg))
    else:
        rows = documents.counts(text.train, cfg.vocab_size)
        dealt = deal(np.diff(rows.indptr), cfg.batch, TILES, seed)
        step = lda_vb.steps(cfg, mesh, bags(rows, dealt))
        priors = jax.jit(partial(lda_vb.fit_priors, cfg))

        def start(seed: int) -> State:
            return whole(mesh, lda_vb.begin(cfg, rows, seed) | _shared(cfg))

    heldout = heldout_texts(cfg, text)
    return Problem(len(dealt), int(lengths.sum()), known, len(lengths) - known, heldout, start, step, priors)


def heldout_texts(cfg: LDAConfig, text: Any) -> list[np.ndarray]:
    """Word ids of the held-out documents that the held-out loss is of."""
    some = text.heldout.offsets[: cfg.heldout_documents + 1] if cfg.heldout_documents else text.heldout.offsets
    return [text.heldout.tokens[a:b] for a, b in zip(some[:-1], some[1:], strict=True) if b > a]


def _shared(cfg: LDAConfig) -> State:
    return {
        "alpha": jnp.full(cfg.topics, cfg.alpha, jnp.float32),
        "eta": jnp.float32(cfg.eta),
        "step": jnp.int32(0),
        "nats": jnp.float32(0.0),
    }


def advance(cfg: LDAConfig, work: Problem, state: State) -> tuple[State, dict[str, float]]:
    """One batch; after the last of a sweep the priors are fitted, and metrics given.

    'loss' is nats per token of the training text: minus the variational bound for vb; for cvb0 of the point estimates;
    for gibbs of each token given all others. 'heldout_loss' is that of held-out documents, from left to right.
    """
    state = work.step(state)
    sweep, rest = divmod(int(state["step"]), work.steps)
    if rest:
        return state, {}
    nats = state["nats"]
    if cfg.method == "vb":
        nats = nats + lda_vb.topic_bound(state["lambda"], state["eta"])
    if sweep > cfg.fit_after:
        state = work.priors(state)
    metrics = {"loss": -float(nats) / work.tokens, "alpha": float(state["alpha"].sum()), "eta": float(state["eta"])}
    if (sweep % cfg.evaluate_every == 0 or sweep == cfg.sweeps) and work.heldout:
        found = params(cfg, state)
        nats_of, _ = left_to_right(work.heldout, found["topics"].T, found["alpha"], particles=cfg.particles)
        metrics["heldout_loss"] = -float(nats_of.sum()) / sum(map(len, work.heldout))
    return state, metrics | {"empty_documents": float(work.empty)}


def params(cfg: LDAConfig, state: State) -> Params:
    """The posterior mean of the topics given lambda, or given the last draws; and how common each topic is."""
    eta, counted = state["eta"], state["counts"] if cfg.method == "gibbs" else state["lambda"] - state["eta"]
    table = counted + eta
    share = table.sum(0) / table.sum()
    return {"topics": (table / table.sum(0)[None]).T, "alpha": state["alpha"], "eta": eta, "share": share}


def arrays(cfg: LDAConfig) -> dict[str, Leaf]:
    """Topics [K, V], rows of sum 1; alpha [K], eta, and the share of the training tokens of each topic [K]."""
    k = cfg.topics
    return {
        "topics": Leaf((k, cfg.vocab_size), (None, "vocab"), constant(0.0)),
        "alpha": Leaf((k,), (None,), constant(0.0)),
        "eta": Leaf((), (), constant(0.0)),
        "share": Leaf((k,), (None,), constant(0.0)),
    }


def represent(cfg: LDAConfig, params: Params, consts: Consts, counts: sp.csr_matrix) -> np.ndarray:
    """Topic mixtures of documents, float32 [N, K], rows of sum 1: the mean of q(theta_d) given the topics.

    A document without a known word gets the mean of the prior, alpha / sum alpha.
    """
    rows = sp.csr_matrix(counts)
    alpha = jnp.asarray(params["alpha"])
    out = np.tile(np.asarray(alpha / alpha.sum(), np.float32), (rows.shape[0], 1))
    if not rows.nnz:
        return out
    table = jnp.asarray(params["topics"]).T
    data = bags(rows, deal(np.diff(rows.indptr), min(_ROWS, rows.shape[0]), 1, 0))
    for part in zip(*data, strict=True):
        words, of, slot, ids, sizes = (x[0] for x in part)
        gamma = np.asarray(_mixtures(cfg.method == "vb", table, alpha, words, of, slot, sizes))
        there = ids < rows.shape[0]
        out[ids[there]] = (gamma / gamma.sum(1, keepdims=True))[there]
    return out


@partial(jax.jit, static_argnums=0)
def _mixtures(vb: bool, table: Array, alpha: Array, words: Array, of: Array, slot: Array, sizes: Array) -> Array:
    tile = lda_vb.Tile(words, of, slot, sizes)
    begin = lda_vb.cold(sizes, alpha)
    weight = table / table.max(1, keepdims=True)
    return lda_vb.fit_documents(tile, weight, alpha, begin, collapsed=not vb, most=100, tolerance=1e-4).gamma


def embed(cfg: LDAConfig, params: Params) -> dict[str, Array]:
    """p(topic | word) of every word, [V, K]: topics weighted by their shares of the text."""
    joint = params["topics"].T * params["share"][None]
    return {"topic_of_word": joint / jnp.maximum(joint.sum(1, keepdims=True), 1e-30)}


def consts(cfg: LDAConfig, words: Words) -> Consts:
    """Nothing."""
    return {}


FAMILY = Family(
    config=LDAConfig,
    resolve=resolve,
    text=read_text,
    consts=consts,
    arrays=arrays,
    flops=lambda cfg: (4.0 * cfg.topics * cfg.sweeps * (1 if cfg.method == "gibbs" else cfg.inner), "word"),
    examples=(
        LDAConfig(topics=3, sweeps=2, method="vb"),
        LDAConfig(topics=3, sweeps=2, batch=0, warm=True, fit_alpha="symmetric", fit_after=0),
        LDAConfig(topics=3, sweeps=2, method="gibbs", batch=16, phases=8, fit_alpha="no", fit_eta=False),
    ),
    fit=Fit(
        prepare=prepare,
        start=lambda cfg, work, seed: work.start(seed),
        advance=advance,
        sweeps=lambda cfg: cfg.sweeps,
        steps=lambda cfg, work: work.steps,
        params=params,
    ),
    embed=embed,
    represent=represent,
)
