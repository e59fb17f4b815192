"""The gradients of word2vec by kernels for CPUs, from the tables themselves.

They are those of `word2vec.loss` by the rows that `word2vec.rows` names, up to rounding: the window's pairs and the
noise or the path of each row of the batch in one pass, while its rows are in the cache of one core. Nothing is gathered
before, and of the path of a word only its own nodes are read and written: a place beyond its end has the id V', which
the update leaves out, and an undefined gradient.
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
    """({table: (ids int32 [M], gradients float32 [M, D])}, metrics of `word2vec.loss`).

    `ids` and `batch` are the results of `word2vec.rows`; the loss is negative or hierarchical.
    """
    rows = batch["reach"].shape[0]
    text = (params["E"], params["C"], batch["tokens"], batch["doc"], batch["reach"])
    fixed = {
        "cbow": cfg.architecture == "cbow",
        "whole": cfg.context_gradient == "tool",
        "draw": np.int64(DRAWS.index(cfg.draw)),
    }
    if cfg.loss == "hierarchical":
        ids = ids | {"C": _nodes(cfg, consts, batch)}
        tree = tuple(consts[name] for name in ("exits", "exit_signs", "nodes", "signs"))
        name, more = "path_gradients", tree
    else:
        turn = jnp.asarray(batch.get("turn", 0), jnp.int32)
        name, more = "noise_gradients", (batch["noise"], turn.reshape(1))
        fixed |= {"every": np.int64(cfg.noise_every), "negatives": np.float32(cfg.negatives)}
    shapes = [(*ids["E"].shape, cfg.dim), (*ids["C"].shape, cfg.dim), (rows, 2)]
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    by_inputs, by_outputs, sums = kernels.call(name, results, *text, *more, **fixed)
    total, words = sums.sum(0), batch["words"].astype(jnp.float32).sum()
    metrics = {"loss": (total[0], total[1]), "words": (words, jnp.float32(rows))}
    found = {"E": by_inputs, "C": by_outputs}
    return {k: (ids[k].reshape(-1), grads.reshape(-1, cfg.dim)) for k, grads in found.items()}, metrics


def _nodes(cfg: Any, consts: Consts, batch: Batch) -> Array:
    """The nodes that each row of the batch touches, int32 [R, T + L Q]: the top ones, then the rest of every path."""
    tokens, top = batch["tokens"], consts["exit_signs"].shape[1]
    centres = tokens[:, cfg.window : tokens.shape[1] - cfg.window]
    rest = jnp.where(consts["signs"][centres] != 0, consts["nodes"][centres], cfg.padded_vocab)
    shared = jnp.broadcast_to(jnp.arange(top, dtype=jnp.int32)[None], (len(tokens), top))
    return jnp.concatenate([shared, rest.reshape(len(tokens), -1)], axis=1)
