"""Positive pointwise mutual information of words and their contexts, and its truncated singular value decomposition.

    M_ij = max(0, log [X_ij X_.. / (X_i. X_.j)] - log k),   M [V, V] ~ U S C^T

With smoothing a, X_.j / X_.. is replaced by X_.j^a / sum_j' X_.j'^a. A word is its row of U S^p, a context its row of
C S^p, and with `add_contexts` a word is the sum of both. `sample` drops tokens of frequent words before windows are
formed, and `weighting` linear weighs distances as word2vec's dynamic window does.

Levy, Goldberg and Dagan 2015 (TACL 3, Q15-1016): their cds is `smoothing`, neg `shift`, eig `power`, w+c
`add_contexts`, sub `sample`, win `window`, dyn `weighting`.
"""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from w2v_jax.config import check, check_least
from w2v_jax.data.cooccurrence import Cooccurrences
from w2v_jax.errors import UserError
from w2v_jax.family import Family, Fit
from w2v_jax.models import running_text
from w2v_jax.models.counted import check_counting, counts_of
from w2v_jax.nn import truncated_svd
from w2v_jax.nn.arrays import constant
from w2v_jax.types import Array, Consts, Leaf, Params, Words

State = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class PPMIConfig:
    """The defaults are what Levy, Goldberg and Dagan advise for the decomposition."""

    dim: int = 100  # D, the singular values kept; at most the words
    power: float = 0.5  # p, of the singular values in the vectors
    add_contexts: bool = False  # words are the sums of their word and context vectors
    smoothing: float = 0.75  # a, of the distribution of contexts; 1 for none
    shift: float = 1.0  # k; log k is taken off (shifted PPMI); 1 for none
    window: int = 5  # words on each side
    weighting: str = "linear"  # of a pair at distance d: linear (W + 1 - d) / W | harmonic 1 / d | flat 1
    side: str = "both"  # contexts: both sides | left | right
    sample: float = 0.0  # subsampling threshold, as in word2vec; 0 for none
    sweeps: int = 16  # products with M and its transpose; the more, the fewer columns each has
    oversample: int = 20  # further columns of the basis, which make the last of the D exact sooner
    memory_mb: int = 1024  # of the arrays while pairs are counted; changes no count. M itself is held in memory
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_counting(self)
        check_least(1, "model", self, "dim", "sweeps")
        check_least(0, "model", self, "oversample")
        check(0 <= self.power <= 1, "model.power", self.power, "between 0 and 1")
        check(0 < self.smoothing <= 1, "model.smoothing", self.smoothing, "above 0 and at most 1")
        check(1 <= self.shift < 1e30, "model.shift", self.shift, "1 (no shift) or more")


def resolve(cfg: PPMIConfig, vocab_size: int) -> PPMIConfig:
    """Fills in the vocabulary size. UserError: fewer words than dimensions."""
    cfg = running_text.resolve(cfg, vocab_size)
    check(cfg.dim <= vocab_size, "model.dim", cfg.dim, f"at most {vocab_size}, the words of the vocabulary")
    return cfg


def pmi(counts: Cooccurrences, smoothing: float, shift: float, positive: bool = True) -> sp.csr_matrix:
    """M, csr float32 [V, V]; without `positive` the values below 0 of pairs that occur are kept too.

    Memory: 20 bytes for each value while it is made, 8 after that.
    """
    words, contexts = counts.marginals()
    smoothed = contexts**smoothing
    with np.errstate(divide="ignore"):  # words without a pair do not occur below
        by_word = np.log(words) + np.log(shift)
        by_context = np.log(smoothed) - np.log(smoothed.sum())
    pieces = []
    for first, second, value in counts.scan():
        found = np.log(value) - by_word[first] - by_context[second]
        keep = found > 0 if positive else np.ones(len(found), bool)
        pieces.append((first[keep].astype(np.int32), second[keep].astype(np.int32), found[keep].astype(np.float32)))
    rows, columns, values = (np.concatenate(part) for part in zip(*pieces, strict=True))
    pieces.clear()
    return sp.csr_matrix((values, (rows, columns)), (counts.size, counts.size))


# Sweeps use the same matrix; it stays here for as long as the text does.
_KEPT: weakref.WeakKeyDictionary[Any, tuple[Any, sp.csr_matrix]] = weakref.WeakKeyDictionary()


def matrix(cfg: PPMIConfig, text: Any, seed: int = 0) -> sp.csr_matrix:
    """M of the training text. UserError: no pair occurs more often than by chance."""
    counted = (cfg.window, cfg.weighting, cfg.side, cfg.sample, cfg.smoothing, cfg.shift, seed)
    known = _KEPT.get(text)
    if known is None or known[0] != counted:
        found = pmi(counts_of(cfg, text, seed), cfg.smoothing, cfg.shift)
        if not found.nnz:
            raise UserError(f"model.shift={cfg.shift:g}: no pair of words is above it; lower it or give more text")
        known = _KEPT[text] = counted, found
    return known[1]


# ---- the family ----


def start(cfg: PPMIConfig, text: Any, seed: int) -> State:
    """A random basis. 'seed' draws it and the tokens that subsampling keeps."""
    state = truncated_svd.begin(seed, cfg.vocab_size, cfg.dim, cfg.oversample, cfg.sweeps)
    return state | {"images": [jnp.zeros_like(state["basis"][0])] * cfg.sweeps, "seed": jnp.int32(seed)}


def advance(cfg: PPMIConfig, text: Any, state: State) -> tuple[State, dict[str, float]]:
    """One sweep over M^T, whose right vectors are U. Metrics: 'loss', the share of the squares of M that D dimensions
    do not reproduce; 'change', the largest change of a singular value as a share of itself; 'cells', values of M."""
    m = matrix(cfg, text, int(state["seed"]))
    images, now = list(state["images"]), int(state["sweep"])
    image, product = truncated_svd.products(m.T, truncated_svd.current(state))
    images[now] = jnp.asarray(image)
    after = truncated_svd.solve(state, product, cfg.dim) | {"images": images, "seed": state["seed"]}
    values, before = (np.asarray(s["values"], np.float64) for s in (after, state))
    change = float((np.abs(values - before) / np.where(values > 0, values, 1.0)).max())
    loss = 1.0 - float((values**2).sum()) / float(np.sum(m.data.astype(np.float64) ** 2))
    return after, {"loss": loss, "change": change, "cells": float(m.nnz)}


def params(cfg: PPMIConfig, state: State) -> Params:
    """U, C and S."""
    words, turn = truncated_svd.vectors(state, cfg.dim)
    contexts, size = jnp.zeros_like(words), state["images"][0].shape[1]
    for i, image in enumerate(state["images"][: int(state["sweep"])]):
        contexts = contexts + image @ turn[i * size : (i + 1) * size]
    return {"U": words, "C": contexts, "S": state["values"]}


def arrays(cfg: PPMIConfig) -> dict[str, Leaf]:
    """U and C [V, D] with orthonormal columns, S [D] falling."""
    table = Leaf((cfg.vocab_size, cfg.dim), ("vocab", "embed"), constant(0.0))
    return {"U": table, "C": table, "S": Leaf((cfg.dim,), ("embed",), constant(0.0))}


def embed(cfg: PPMIConfig, params: Params) -> dict[str, Array]:
    """U S^p, or U S^p + C S^p with `add_contexts`, and the contexts C S^p; [V, D] each."""
    scale = params["S"][None] ** cfg.power
    words, contexts = params["U"] * scale, params["C"] * scale
    return {"words": words + contexts if cfg.add_contexts else words, "contexts": contexts}


def consts(cfg: PPMIConfig, words: Words) -> Consts:
    """Nothing: M follows from the text."""
    return {}


def flops(cfg: PPMIConfig) -> tuple[float, str]:
    """Two products with the columns of a sweep, of each value of M, in every sweep."""
    return 4.0 * truncated_svd.width(cfg.vocab_size, cfg.dim, cfg.oversample, cfg.sweeps) * cfg.sweeps, "value of M"


def _examples() -> tuple[PPMIConfig, ...]:
    tiny = PPMIConfig(dim=3, sweeps=3, oversample=4, window=2)
    return tiny, dataclasses.replace(tiny, power=0.0, add_contexts=True, smoothing=1.0, shift=1.5, side="right")


FAMILY = Family(
    config=PPMIConfig,
    resolve=resolve,
    text=running_text.read_text,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    fit=Fit(start, advance, lambda cfg: cfg.sweeps, params),
    embed=embed,
)
