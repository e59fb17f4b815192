"""Costs of a run, counted from shapes alone: parameters, training FLOPs, memory, cache.

There are two conventions for a model's size: all parameters (Hoffmann et al. 2022, arXiv 2203.15556), and those without
the tables that have a row per word (Kaplan et al. 2020, arXiv 2001.08361). Both are given: laws fitted under one do not
hold under the other, least of all for small models. FLOPs count matrix products, forward and backward, including the
output head and attention; a FLOP is a multiplication or an addition.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax

from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.nn.arrays import real_size, shapes
from w2v_jax.train.gradients import count_rows, gather_rows, with_row
from w2v_jax.train.programs import stand_in
from w2v_jax.train.step import init_state


class Ledger(NamedTuple):
    """Sizes of one run. Bytes are those of all devices together."""

    parameters: int  # numbers in the trained arrays, less the rows that pad a table to a round size
    without_embeddings: int  # the same without every array that has an axis for the vocabulary: embeddings, head, bias
    padding: int  # numbers in the padding rows
    flops_per_token: float  # training FLOPs per `unit`
    unit: str  # a token of a language model, or a word of word vectors
    state_bytes: int  # parameters, optimiser state and carry
    # What the forward pass of one microbatch keeps for the backward pass, beside parameters and constants, before XLA
    # joins or drops any of it: an upper bound. 0 for a family that takes its gradients in the forward pass, and where
    # nobody asked for it: it takes a trace of the model.
    activation_bytes: int
    cache_bytes: int | None  # cache per token of a text; None for a model that does not generate


def ledger(config: Config, vocab_size: int = 0, activations: bool = True) -> Ledger:
    """Counts a run without making any of its arrays; `vocab_size` is V where the config does not state it.

    UserError: neither states the vocabulary; or what the family's `resolve` raises.
    """
    spec, words = MODELS[config.family], stand_in(config, vocab_size)
    vocab = len(words.counts)
    cfg = spec.resolve(config.model, vocab)
    consts = spec.consts(cfg, words)
    counted = [
        (math.prod(leaf.shape), real_size(leaf, vocab), "vocab" in leaf.axes)
        for leaf in jax.tree.leaves(spec.arrays(cfg))
    ]
    flops, unit = spec.flops(cfg)
    state, kept = tree_bytes(shapes(spec.arrays(cfg))), 0  # of a fitted family: what it ends with
    if spec.train is not None:
        whole = jax.eval_shape(lambda c: init_state(spec, config, cfg, c), consts)
        state = tree_bytes(whole)
        kept = _kept(config, cfg, consts, whole.params) if activations else 0
    return Ledger(
        parameters=sum(real for _, real, _ in counted),
        without_embeddings=sum(size for size, _, of_words in counted if not of_words),
        padding=sum(size - real for size, real, _ in counted),
        flops_per_token=flops,
        unit=unit,
        state_bytes=state,
        activation_bytes=kept,
        cache_bytes=spec.decode.size(cfg)[1] if spec.decode and spec.encode and spec.encode.causal(cfg) else None,
    )


def tree_bytes(tree: Any) -> int:
    """Bytes of a tree of arrays or of their shapes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _kept(config: Config, cfg: Any, consts: Any, params: Any) -> int:
    """Bytes of the residuals of one microbatch's loss that are neither parameters nor constants."""
    spec = MODELS[config.family]
    sizes = spec.trained.shapes(cfg, config.train.batch_size)
    parts = config.train.accumulate
    batch = {k: jax.ShapeDtypeStruct((max(1, s.shape[0] // parts), *s.shape[1:]), s.dtype) for k, s in sizes.items()}

    def residuals(params: Any, consts: Any, batch: Any) -> Any:
        rng, carry = jax.random.key(0), spec.trained.carry(cfg, count_rows(batch))
        ids, batch = spec.trained.rows(cfg, consts, with_row(batch), rng)
        return jax.vjp(
            lambda p: spec.trained.loss(cfg, p, consts, carry, batch, rng)[0], params | gather_rows(params, ids)
        )[1]

    kept = jax.eval_shape(residuals, params, consts, batch)
    given = [(x.shape, x.dtype) for x in jax.tree.leaves((params, consts))]
    total = 0
    for leaf in jax.tree.leaves(kept):
        if (leaf.shape, leaf.dtype) in given:  # a residual that is a parameter is no copy of it
            given.remove((leaf.shape, leaf.dtype))
        else:
            total += tree_bytes(leaf)
    return total
