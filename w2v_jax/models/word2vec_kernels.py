"""The gradients of word2vec by kernels for CPUs, from the tables themselves.

They are those of `word2vec.loss` by the rows that `word2vec.rows` names, up to rounding: the window's pairs and the
noise or the path of each row of the batch in one pass, while its rows are in the cache of one core. Nothing is gathered
before. A group of rows shares the nodes of the tree: each node has one place, where its gradients are summed. The T
upper nodes have the first places of the group, and a zero gradient where no path has them. The other nodes of its paths
follow. The places that no node took have an id beyond the table, and their gradients are not written: they may be any
numbers.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.nn import kernels
from w2v_jax.types import Array, Batch, Consts, Metrics, Params

DRAWS = ("sampled", "expected", "full")  # in the order of the kernel


def gradients(
    cfg: Any, params: Params, consts: Consts, ids: dict[str, Array], batch: Batch
) -> tuple[dict[str, tuple[Array, Array]], Metrics]:
    """({table: (ids int32 [M], gradients of `cfg.gradient_dtype` [M, D or more])}, metrics of `word2vec.loss`).

    `ids` and `batch` are the results of `word2vec.rows`; the loss is negative or hierarchical.
    """
    rows, length = batch["reach"].shape
    text = (params["E"], params["C"], batch["tokens"], batch["doc"], batch["reach"])
    fixed = {
        "cbow": cfg.architecture == "cbow",
        "whole": cfg.context_gradient == "tool",
        "draw": np.int64(DRAWS.index(cfg.draw)),
    }
    if cfg.loss == "hierarchical":
        tree = tuple(consts[name] for name in ("exits", "exit_signs", "nodes", "signs"))
        named = (rows, consts["exit_signs"].shape[1] + length * consts["nodes"].shape[1])
        results = [*_shapes(cfg, rows, ids["E"].shape, named), jax.ShapeDtypeStruct(named, jnp.int32)]
        *found, sums, nodes = kernels.call("path_gradients", results, *text, *tree, **fixed)
        ids = ids | {"C": nodes}
    else:
        turn = jnp.asarray(batch.get("turn", 0), jnp.int32).reshape(1)
        fixed |= {"every": np.int64(cfg.noise_every), "negatives": np.float32(cfg.negatives)}
        fixed |= {"half": cfg.noise_dtype == "bfloat16"}
        results = _shapes(cfg, rows, ids["E"].shape, ids["C"].shape)
        *found, sums = kernels.call("noise_gradients", results, *text, batch["noise"], turn, **fixed)
    total, words = sums.sum(0), batch["words"].astype(jnp.float32).sum()
    metrics = {"loss": (total[0], total[1]), "words": (words, jnp.float32(rows))}
    by_row = {k: (ids[k].reshape(-1), x.reshape(-1, x.shape[-1])) for k, x in zip("EC", found, strict=True)}
    return by_row, metrics


def _shapes(cfg: Any, rows: int, *named: tuple[int, ...]) -> list[jax.ShapeDtypeStruct]:
    """Of the gradients of the named rows of E and C, and of the sums of each row of the batch."""
    wide, dtype = kernels.padded(cfg.dim), jnp.dtype(cfg.gradient_dtype)
    by_row = [jax.ShapeDtypeStruct((*x, wide), dtype) for x in named]
    return [*by_row, jax.ShapeDtypeStruct((rows, 2), jnp.float32)]
