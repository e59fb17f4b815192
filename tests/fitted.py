"""A tiny fitted family: a truncated SVD of counts of neighbouring words, by subspace iteration, one multiplication by
the matrix a sweep. It shows that loop, checkpoints, evaluation and ledger take a family that is not trained."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from w2v_jax.config import check
from w2v_jax.family import Family, Fit
from w2v_jax.models.running_text import read_text
from w2v_jax.nn.arrays import constant
from w2v_jax.types import Array, Consts, Leaf, Params, Words


@dataclasses.dataclass(frozen=True)
class SVDConfig:
    """Options of the family."""

    dim: int = 3
    sweeps: int = 30
    vocab_size: int = 0

    def __post_init__(self) -> None:
        check(self.dim >= 1, "model.dim", self.dim, "at least 1")
        check(self.sweeps >= 1, "model.sweeps", self.sweeps, "at least 1")


def counts_of(text: Any) -> np.ndarray:
    """How often each word follows each other within a document, symmetric, float32 [V, V]."""
    tokens, size = np.asarray(text.train.tokens), len(text.vocab.words)
    inside = np.ones(len(tokens), bool)
    inside[np.asarray(text.train.offsets)[1:-1]] = False
    pairs = np.zeros((size, size), np.float32)
    np.add.at(pairs, (tokens[:-1][inside[1:]], tokens[1:][inside[1:]]), 1.0)
    return pairs + pairs.T


def start(cfg: SVDConfig, text: Any, seed: int) -> dict[str, Array]:
    """A random orthonormal basis [V, D]."""
    drawn = np.random.default_rng(seed).standard_normal((len(text.vocab.words), cfg.dim))
    return {"basis": jnp.asarray(np.linalg.qr(drawn)[0], jnp.float32), "scale": jnp.zeros(cfg.dim, jnp.float32)}


def advance(cfg: SVDConfig, text: Any, state: dict[str, Array]) -> tuple[dict[str, Array], dict[str, float]]:
    """One multiplication by the counts and one orthonormalisation; the loss is the share that is not reproduced."""
    counts = jnp.asarray(counts_of(text))
    basis, scale = jnp.linalg.qr(counts @ state["basis"])
    left = counts - basis @ (basis.T @ counts)
    loss = float(jnp.sum(left**2) / jnp.sum(counts**2))
    return {"basis": basis, "scale": jnp.abs(jnp.diag(scale))}, {"loss": loss}


def consts(cfg: SVDConfig, words: Words) -> Consts:
    """Nothing."""
    return {}


def arrays(cfg: SVDConfig) -> dict[str, Leaf]:
    """E [V, D]."""
    return {"E": Leaf((cfg.vocab_size, cfg.dim), ("vocab", "embed"), constant(0.0))}


def resolve(cfg: SVDConfig, vocab_size: int) -> SVDConfig:
    """Fills in the vocabulary size."""
    return dataclasses.replace(cfg, vocab_size=vocab_size)


def params(cfg: SVDConfig, state: dict[str, Array]) -> Params:
    """The basis, scaled by the singular values' roots."""
    return {"E": state["basis"] * jnp.sqrt(state["scale"])[None]}


FAMILY = Family(
    config=SVDConfig,
    resolve=resolve,
    text=read_text,
    consts=consts,
    arrays=arrays,
    flops=lambda cfg: (2.0 * cfg.vocab_size * cfg.dim * cfg.sweeps, "word"),
    examples=(SVDConfig(),),
    fit=Fit(start, advance, lambda cfg: cfg.sweeps, params),
    embed=lambda cfg, params: dict(params),
)
