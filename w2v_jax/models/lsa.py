"""Latent semantic analysis: a truncated singular value decomposition of the word-by-document matrix.

A [N, V] holds the weighted counts of V words in N documents, and A ~ U S W^T with D singular values S. A document is
the row a W = u S [D] of its weighted counts a, so new documents are folded in by the same product; a word is its row
of W S, so that products of words approximate those of the columns of A.

The decomposition is the block Krylov method of `w2v_jax.nn.truncated_svd`, or its power iterations. One sweep reads the
documents once, in blocks: Z = A^T (A Q) is a sum over them. With power iterations, S and W after sweep i are those of
the usual scheme (a range finder, then an SVD) after i - 1 iterations, with one pass over the text where that takes one
more. Nothing of size [N, D] exists: memory holds the sparse rows, or one block of them at a time, and arrays of V by
3 (D + oversample) numbers.

Deerwester et al. (1990), "Indexing by Latent Semantic Analysis".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from w2v_jax.config import check, check_choice, check_least
from w2v_jax.data import weighting
from w2v_jax.data.documents import blocks
from w2v_jax.family import Family, Fit
from w2v_jax.models import running_text
from w2v_jax.nn import truncated_svd
from w2v_jax.nn.arrays import constant
from w2v_jax.types import Array, Consts, Leaf, Params, Words

State = dict[str, Any]
BLOCK = 1 << 22  # tokens of a block of documents


@dataclasses.dataclass(frozen=True)
class LSAConfig:
    """Options of the family."""

    dim: int = 100  # D, the singular values kept; at most the words and the documents
    # Passes over the text. Power iterations need i + 1 of them for i iterations of the usual scheme; the block Krylov
    # method multiplies by 3 (D + oversample) columns in all, fewer in each where there are more passes: the more of
    # them, the more exact.
    sweeps: int = 16
    accelerate: bool = True  # block Krylov in place of power iterations
    oversample: int = 10  # further columns of the basis, which make the last of the D exact sooner
    weighting: str = "tfidf"  # counts | tfidf | log_entropy; see `w2v_jax.data.weighting`
    sublinear: bool = False  # of tfidf: 1 + ln(count) in place of the count
    # Where sparse and dense arrays are multiplied: scipy on the host, on all its cores | jax on the device | auto:
    # scipy on CPUs, where it is the faster.
    products: str = "auto"
    memory_mb: int = 4096  # megabytes of weighted rows that stay in memory; a larger text is counted anew every sweep
    vocab_size: int = 0  # filled in by the family's `resolve`

    def __post_init__(self) -> None:
        check_least(1, "model", self, "dim", "sweeps")
        check_least(0, "model", self, "oversample", "memory_mb", "vocab_size")
        check_choice("model.weighting", self.weighting, ("counts", "tfidf", "log_entropy"))
        check_choice("model.products", self.products, ("auto", "scipy", "jax"))
        own = not self.sublinear or self.weighting == "tfidf"
        check(own, "model.sublinear", self.sublinear, f"False with model.weighting={self.weighting}")


def arrays(cfg: LSAConfig) -> dict[str, Leaf]:
    """W [V, D] with orthonormal columns, S [D] falling, and the weight of each word [V]."""
    return {
        "W": Leaf((cfg.vocab_size, cfg.dim), ("vocab", "embed"), constant(0.0)),
        "S": Leaf((cfg.dim,), ("embed",), constant(0.0)),
        "weights": Leaf((cfg.vocab_size,), ("vocab",), constant(1.0)),
    }


# ---- rows ----


def weighted(cfg: LSAConfig, weights: np.ndarray, counts: sp.csr_matrix) -> sp.csr_matrix:
    """Rows of A, csr float32 [N, V], from counts [N, V] and the words' weights [V]."""
    if cfg.weighting == "tfidf":
        return weighting.tfidf(counts, weights, cfg.sublinear)
    return weighting.log_entropy(counts, weights) if cfg.weighting == "log_entropy" else counts.astype(np.float32)


def word_weights(cfg: LSAConfig, seen: weighting.Collection) -> np.ndarray:
    """What the weighting multiplies a word's counts by, float32 [V]."""
    if cfg.weighting == "tfidf":
        return weighting.inverse_frequency(seen)
    return weighting.entropy(seen) if cfg.weighting == "log_entropy" else np.ones(cfg.vocab_size, np.float32)


class Work(NamedTuple):
    """What all sweeps read."""

    text: Any
    weights: np.ndarray  # of the words, float32 [V]
    kept: list[sp.csr_matrix] | None  # the blocks of A; None where they are more than `memory_mb`

    def rows(self, cfg: LSAConfig) -> Iterable[sp.csr_matrix]:
        """The blocks of A of the training documents."""
        if self.kept is not None:
            return self.kept
        return (weighted(cfg, self.weights, counts) for _, counts in blocks(self.text.train, cfg.vocab_size, BLOCK))


def prepare(cfg: LSAConfig, text: Any, seed: int, devices: Sequence[jax.Device]) -> Work:
    """Weighs the words, and keeps the rows where they fit. UserError: fewer words or documents than dimensions."""
    check(cfg.dim <= cfg.vocab_size, "model.dim", cfg.dim, f"at most {cfg.vocab_size}, the words of the vocabulary")
    documents = text.train.documents
    need = f"at most {documents}, the training documents; lower it, or cut the text into more documents"
    check(cfg.dim <= documents, "model.dim", cfg.dim, need)
    seen = weighting.collection((rows for _, rows in blocks(text.train, cfg.vocab_size, BLOCK)), cfg.vocab_size)
    work, kept = Work(text, word_weights(cfg, seen), None), list[sp.csr_matrix]()
    if 8 * seen.frequencies.sum() > cfg.memory_mb * 10**6:  # an id and a weight of 4 bytes each
        return work
    kept.extend(work.rows(cfg))
    return work._replace(kept=kept)


# ---- one sweep ----


def gram_product(parts: Iterable[sp.csr_matrix], basis: Array, products: str) -> tuple[Any, float, int]:
    """(A^T A Q float32 [V, l], the squared Frobenius norm of A, its empty rows) over the blocks of A.

    On the host each thread computes some columns over all rows, so that the result does not depend on their number.
    """
    total, empty = 0.0, 0
    slices = truncated_svd.column_parts(basis)
    sums = [np.zeros_like(part) for part in slices]
    device = jnp.zeros_like(basis)

    def add(i: int, rows: sp.csr_matrix) -> None:
        sums[i] += rows.T @ (rows @ slices[i])

    with ThreadPoolExecutor(len(slices)) as pool:
        for rows in parts:
            total += float(np.dot(rows.data, rows.data))
            empty += int((np.diff(rows.indptr) == 0).sum())
            if products == "scipy":
                list(pool.map(add, range(len(slices)), [rows] * len(slices)))  # scipy leaves the interpreter free
            else:
                device = device + _on_device(rows, basis)
    return (np.concatenate(sums, axis=1) if products == "scipy" else device), total, empty


def _on_device(rows: sp.csr_matrix, basis: Array) -> Array:
    """A^T (A Q) of one block by JAX's own compressed rows."""
    from jax.experimental import sparse

    flat, turned = sparse.BCSR.from_scipy_sparse(rows), sparse.BCSR.from_scipy_sparse(rows.T.tocsr())
    return turned @ (flat @ basis)


def start(cfg: LSAConfig, work: Work, seed: int) -> State:
    """A random basis, and the weights of the words."""
    state = truncated_svd.begin(seed, cfg.vocab_size, cfg.dim, cfg.oversample, cfg.sweeps, cfg.accelerate)
    return state | {"weights": jnp.asarray(work.weights)}


def advance(cfg: LSAConfig, work: Work, state: State) -> tuple[State, dict[str, float]]:
    """One sweep. Metrics: 'loss', the share of the squared weights that D dimensions do not reproduce, at most;
    'change', the largest change of a singular value as a share of itself; 'empty_documents'."""
    image, total, empty = gram_product(work.rows(cfg), truncated_svd.current(state), cfg.products)
    after = truncated_svd.solve(state, image, cfg.dim)
    now, before = (np.asarray(s["values"], np.float64) for s in (after, state))
    change = float((np.abs(now - before) / np.where(now > 0, now, 1.0)).max())
    loss = 1.0 - float((now**2).sum()) / total if total else 0.0
    return after | {"weights": state["weights"]}, {"loss": loss, "change": change, "empty_documents": float(empty)}


def params(cfg: LSAConfig, state: State) -> Params:
    """W, S and the weights of the words."""
    words, _ = truncated_svd.vectors(state, cfg.dim)
    return {"W": words, "S": state["values"], "weights": state["weights"]}


# ---- words and documents ----


def embed(cfg: LSAConfig, params: Params) -> dict[str, Array]:
    """W S [V, D]: products of words approximate those of their columns of A."""
    return {"words": params["W"] * params["S"][None]}


def represent(cfg: LSAConfig, params: Params, consts: Consts, counts: sp.csr_matrix) -> np.ndarray:
    """a W, float32 [N, D], of the weighted counts of each document; zeros for one without a known word."""
    return np.asarray(weighted(cfg, np.asarray(params["weights"]), counts) @ np.asarray(params["W"]), np.float32)


def consts(cfg: LSAConfig, words: Words) -> Consts:
    """Nothing."""
    return {}


def flops(cfg: LSAConfig) -> tuple[float, str]:
    """Two products with the columns of a sweep, of each word that a document has, in every sweep."""
    columns = truncated_svd.width(cfg.vocab_size, cfg.dim, cfg.oversample, cfg.sweeps, cfg.accelerate)
    return 4.0 * columns * cfg.sweeps, "distinct word of a document"


def place(cfg: LSAConfig, platform: str) -> LSAConfig:
    """On CPUs scipy's products are several times as fast as XLA's; elsewhere the device has the arrays."""
    chosen = "scipy" if platform == "cpu" else "jax"
    return dataclasses.replace(cfg, products=chosen) if cfg.products == "auto" else cfg


FAMILY = Family(
    config=LSAConfig,
    resolve=running_text.resolve,
    text=running_text.read_text,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=(
        LSAConfig(dim=3, sweeps=3, oversample=4),
        LSAConfig(dim=3, sweeps=2, accelerate=False, oversample=0, weighting="counts", products="jax", memory_mb=0),
        LSAConfig(dim=3, sweeps=2, oversample=2, weighting="log_entropy", products="scipy"),
        LSAConfig(dim=3, sweeps=2, sublinear=True),
    ),
    fit=Fit(start, advance, lambda cfg: cfg.sweeps, params, prepare),
    embed=embed,
    represent=represent,
    place=place,
)
