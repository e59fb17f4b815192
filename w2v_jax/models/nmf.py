"""Non-negative matrix factorisation of the weighted counts of documents.

  A ~ W H^T,    W [N, D] >= 0,  H [V, D] >= 0 minimise  |A - W H^T|^2 / 2

A [N, V] holds the weighted counts of V words in N documents. A document is a sum of D topics with the shares W, and a
topic is a column of H. A sweep goes over the columns k of W, then in the same way over those of H, and sets each to its
best value with all others as they are (hierarchical alternating least squares, Cichocki and Phan 2009):

  W_k <- max(0, W_k + (A H - W H^T H)_k / (H^T H)_kk)

It is the coordinate descent of scikit-learn's NMF without shuffling. The rows of A, W and H are in memory, W as part of
the state. Lee and Seung (1999), "Learning the parts of objects by non-negative matrix factorization".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from w2v_jax.config import check, check_choice, check_least
from w2v_jax.data import documents, weighting
from w2v_jax.family import Family, Fit
from w2v_jax.models import running_text
from w2v_jax.nn.arrays import constant
from w2v_jax.types import Array, Consts, Leaf, Params, Words

State = dict[str, Any]
FOLDED = 100  # passes over the columns for new documents


@dataclasses.dataclass(frozen=True)
class NMFConfig:
    """Options of the family."""

    dim: int = 20  # D, topics; at most the words and the documents
    sweeps: int = 100  # passes over the columns of both factors
    weighting: str = "tfidf"  # counts | tfidf; see `w2v_jax.data.weighting`
    sublinear: bool = False  # of tfidf: 1 + ln(count) in place of the count
    vocab_size: int = 0  # filled in by the family's `resolve`

    def __post_init__(self) -> None:
        check_least(1, "model", self, "dim", "sweeps")
        check_least(0, "model", self, "vocab_size")
        check_choice("model.weighting", self.weighting, ("counts", "tfidf"))
        own = not self.sublinear or self.weighting == "tfidf"
        check(own, "model.sublinear", self.sublinear, f"False with model.weighting={self.weighting}")


def arrays(cfg: NMFConfig) -> dict[str, Leaf]:
    """H [V, D] and the weight of each word [V]."""
    return {
        "H": Leaf((cfg.vocab_size, cfg.dim), ("vocab", "embed"), constant(0.0)),
        "weights": Leaf((cfg.vocab_size,), ("vocab",), constant(1.0)),
    }


class Work(NamedTuple):
    """What all sweeps read."""

    rows: sp.csr_matrix  # A, float32 [N, V]
    weights: np.ndarray  # of the words, float32 [V]
    square: float  # |A|^2
    empty: int  # documents without a known word


def weighted(cfg: NMFConfig, weights: np.ndarray, found: sp.csr_matrix) -> sp.csr_matrix:
    """Rows of A, csr float32 [N, V], from counts [N, V] and the words' weights [V]."""
    if cfg.weighting == "tfidf":
        return weighting.tfidf(found, weights, cfg.sublinear)
    return found.astype(np.float32)


def prepare(cfg: NMFConfig, text: Any, seed: int, devices: Sequence[jax.Device]) -> Work:
    """Weighs the words and the rows. UserError: fewer words or documents than dimensions."""
    check(cfg.dim <= cfg.vocab_size, "model.dim", cfg.dim, f"at most {cfg.vocab_size}, the words of the vocabulary")
    number = text.train.documents
    need = f"at most {number}, the training documents; lower it, or cut the text into more documents"
    check(cfg.dim <= number, "model.dim", cfg.dim, need)
    found = documents.counts(text.train, cfg.vocab_size)
    plain = np.ones(cfg.vocab_size, np.float32)
    seen = weighting.collection([found], cfg.vocab_size)
    weights = weighting.inverse_frequency(seen) if cfg.weighting == "tfidf" else plain
    rows = weighted(cfg, weights, found)
    empty = int((np.diff(found.indptr) == 0).sum())
    return Work(rows, weights, float(np.dot(rows.data.astype(np.float64), rows.data)), empty)


@jax.jit
def _columns(factor: Array, image: Array, gram: Array) -> Array:
    """`factor` [M, D] after one pass over its columns; `image` [M, D] and `gram` [D, D] are A H and H^T H, or A^T W and
    W^T W."""

    def one(k: Array, rows: Array) -> Array:
        now, bend = rows[k], gram[k, k]
        best = jnp.maximum(now + (target[k] - gram[k] @ rows) / jnp.where(bend > 0, bend, 1.0), 0.0)
        return rows.at[k].set(jnp.where(bend > 0, best, now))  # nothing depends on the column of a topic of zeros

    target = image.T
    return jax.lax.fori_loop(0, len(gram), one, factor.T).T


@jax.jit
def _gram(factor: Array) -> Array:
    return factor.T @ factor


def start(cfg: NMFConfig, work: Work, seed: int) -> State:
    """|normal| numbers, of which products are as large as A in the mean."""
    size = math.sqrt(work.rows.sum(dtype=np.float64) / math.prod(work.rows.shape) / cfg.dim)
    keys = jax.random.split(jax.random.key(seed))
    shapes = ((work.rows.shape[0], cfg.dim), (cfg.vocab_size, cfg.dim))
    w, h = (size * jnp.abs(jax.random.normal(key, shape)) for key, shape in zip(keys, shapes, strict=True))
    return {"W": w, "H": h, "weights": jnp.asarray(work.weights)}


def advance(cfg: NMFConfig, work: Work, state: State) -> tuple[State, dict[str, float]]:
    """One sweep. Metrics: 'loss', |A - W H^T|^2 as a share of |A|^2; 'empty_documents'."""
    # The sparse products are scipy's: on CPUs they are several times as fast as XLA's (see `lsa`).
    w = _columns(state["W"], jnp.asarray(work.rows @ np.asarray(state["H"])), _gram(state["H"]))
    image, gram = jnp.asarray(work.rows.T @ np.asarray(w)), _gram(w)
    h = _columns(state["H"], image, gram)
    cross = float(np.vdot(np.asarray(image, np.float64), np.asarray(h)))
    fitted = float(np.vdot(np.asarray(gram, np.float64), np.asarray(_gram(h))))
    loss = max(0.0, 1.0 - (2.0 * cross - fitted) / work.square) if work.square else 0.0
    return state | {"W": w, "H": h}, {"loss": loss, "empty_documents": float(work.empty)}


def params(cfg: NMFConfig, state: State) -> Params:
    """H and the weights of the words."""
    return {"H": state["H"], "weights": state["weights"]}


def embed(cfg: NMFConfig, params: Params) -> dict[str, Array]:
    """H [V, D]: how much of each topic a word is."""
    return {"words": params["H"]}


def represent(cfg: NMFConfig, params: Params, consts: Consts, counts: sp.csr_matrix) -> np.ndarray:
    """The shares of the topics in each document given H, float32 [N, D]; zeros for one without a known word."""
    rows = weighted(cfg, np.asarray(params["weights"]), counts)
    h = jnp.asarray(params["H"])
    image, gram = jnp.asarray(rows @ np.asarray(h)), _gram(h)
    shares = jnp.zeros((rows.shape[0], cfg.dim), jnp.float32)
    for _ in range(FOLDED):
        shares = _columns(shares, image, gram)
    return np.asarray(shares)


def consts(cfg: NMFConfig, words: Words) -> Consts:
    """Nothing."""
    return {}


def flops(cfg: NMFConfig) -> tuple[float, str]:
    """Two products with the columns, of each word that a document has, in every sweep."""
    return 4.0 * cfg.dim * cfg.sweeps, "distinct word of a document"


FAMILY = Family(
    config=NMFConfig,
    resolve=running_text.resolve,
    text=running_text.read_text,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=(NMFConfig(dim=3, sweeps=3), NMFConfig(dim=2, sweeps=2, weighting="counts"), NMFConfig(sublinear=True)),
    fit=Fit(start, advance, lambda cfg: cfg.sweeps, params, prepare),
    embed=embed,
    represent=represent,
)
