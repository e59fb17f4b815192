"""Vectors of new documents by a trained model: their rows are trained, everything else stays (Le and Mikolov 2014).

A document is read `passes` times, one segment a step. Only the vectors d of the documents change, by the row optimiser
of the run with the rate r (1 - p / passes) in pass p = 0, 1, ..., at least r times `final_fraction`. The start of d and
every draw depend on the seed and on the tokens of the document alone: equal texts have equal vectors, whatever stands
beside them, up to the rounding of sums.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import OptimizerConfig
from w2v_jax.errors import UserError, check, check_whole
from w2v_jax.family import Documents, Family
from w2v_jax.nn.draws import row_bits
from w2v_jax.train import rows
from w2v_jax.train.gradients import gather_rows, with_row
from w2v_jax.train.restore import Model
from w2v_jax.types import Array, Batch, Consts, HostBatch, Params, Words

SIZES = (256, 16)  # documents of a batch, if their lengths are similar, else 1: one program each
STEPS = 4  # of a call, so that documents of all lengths have the same program


def infer(model: Model, texts: Sequence[np.ndarray], passes: int = 0, seed: int = 0) -> np.ndarray:
    """Vectors of documents, float32 [N, D], from their token ids, int32 [T_n] each; zeros for a document without any.

    Args:
      passes: over each document; 0: as many as the run made over its text.
      seed: of the start and the draws, 0 to 2**31 - 1.

    UserError: the family has no documents, or an impossible number.
    """
    part, config = model.spec.documents, model.config
    if part is None:
        raise UserError(f"family={config.family!r}: trains no vectors of documents; open a run of doc2vec")
    check_whole("passes", passes, 0, "a whole number, 0 or more")
    check_whole("seed", seed, 0, (need := "a whole number from 0 to 2**31 - 1"))
    check(seed < 2**31, "seed", seed, need)
    passes = passes or math.ceil(config.train.passes)
    out = np.zeros((len(texts), model.params[part.table].shape[1]), np.float32)
    words = Words(model.tokenizer.words, model.tokenizer.vocab.counts)
    key, lengths = jax.random.key(seed), np.array([len(text) for text in texts], np.int64)
    order = np.argsort(lengths, kind="stable")  # so that documents of a batch have similar lengths
    order = order[lengths[order] > 0]
    while len(order):
        size = next((n for n in SIZES if _similar(lengths[order[-n:]], n)), 1)
        order, batch = order[:-size], order[-size:]
        some = [np.asarray(texts[i], np.int32) for i in batch] + [np.zeros(0, np.int32)] * (size - len(batch))
        names = np.array([_name(text) for text in some], np.int64)
        run = _passes(model.spec, model.cfg, config.optimizer, size)
        state = run.start(key, model.params, names)
        for number in range(passes):
            chunks = _whole(part.chunks(model.cfg, words, some, names, number))
            share = np.float32(max(1 - number / passes, config.optimizer.final_fraction))
            for first in range(0, len(chunks["words"]), STEPS):
                part_of = {name: x[first : first + STEPS] for name, x in chunks.items()}
                state = run.go(
                    model.params, model.consts, state, part_of, names, key, np.array([number, first], np.int32), share
                )
        out[batch] = np.asarray(state[0])[: len(batch)]
    return out


def _similar(lengths: np.ndarray, size: int) -> bool:
    """Whether documents of these rising lengths are read side by side with little padding, in a batch of `size`."""
    return 4 * len(lengths) > size and 2 * int(lengths[0]) + 64 >= int(lengths[-1])


def _whole(chunks: HostBatch) -> HostBatch:
    """With empty steps at the end, to a multiple of `STEPS`."""
    short = -len(chunks["words"]) % STEPS
    fill = {name: -1 if name == "doc" else 0 for name in chunks}
    return {
        name: np.concatenate([x, np.full((short, *x.shape[1:]), fill[name], x.dtype)]) for name, x in chunks.items()
    }


def _name(text: np.ndarray) -> int:
    """A number from 0 to 2**31 - 1 that stands for the tokens of a text."""
    return int.from_bytes(hashlib.blake2b(text.tobytes(), digest_size=4).digest(), "little") >> 1


class _Run:
    """The two compiled functions for B documents."""

    def __init__(self, spec: Family, cfg: Any, optimizer: OptimizerConfig, size: int) -> None:
        assert spec.documents is not None
        self.start = jax.jit(partial(_start, spec.documents.table, optimizer))
        self.go = jax.jit(partial(_steps, spec, spec.documents, spec.documents.sized(cfg, size), optimizer))


@functools.lru_cache(maxsize=8)
def _passes(spec: Family, cfg: Any, optimizer: OptimizerConfig, size: int) -> _Run:
    return _Run(spec, cfg, optimizer, size)


def _start(table: str, optimizer: OptimizerConfig, key: Array, params: Params, names: Array) -> tuple[Array, Any]:
    """(vectors uniform on [-1/2 D, 1/2 D], as rows of documents start, and the state of their optimiser)."""
    dim = params[table].shape[1]
    bits, _ = row_bits(key, names.astype(jnp.int32), dim)
    start = ((bits >> 8).astype(jnp.float32) * 2.0**-24 - 0.5) / dim
    return start, rows.init(optimizer.rows, start, optimizer.initial_square)


def _steps(
    spec: Family,
    part: Documents,
    cfg: Any,
    optimizer: OptimizerConfig,
    params: Params,
    consts: Consts,
    state: tuple[Array, Any],
    chunks: Batch,
    names: Array,
    key: Array,
    place: Array,
    share: Array,
) -> tuple[Array, Any]:
    """Steps of a pass over B documents: chunks [M, B, ...] -> the state after M steps. `place` int32 [2] has the number
    of the pass, and that of the first of these steps in it."""
    own = jax.random.fold_in(key, place[0])

    def step(state: tuple[Array, Any], entry: tuple[Array, Batch]) -> tuple[tuple[Array, Any], None]:
        at, batch = entry
        rng = jax.random.fold_in(own, at)
        batch = with_row(batch) | {"row": names.astype(jnp.int32)}
        ids, drawn = spec.trained.rows(cfg, consts, batch, rng)
        places = ids.pop(part.table)
        others = {k: v for k, v in params.items() if k != part.table} | gather_rows(params, ids)

        def loss(vectors: Array) -> Array:
            return spec.trained.loss(cfg, others | {part.table: vectors[places]}, consts, {}, drawn, rng)[0]

        vectors, kept = state
        found, every = jax.grad(loss)(vectors), jnp.arange(len(vectors), dtype=jnp.int32)
        rate = optimizer.learning_rate * share
        vectors, kept, _ = rows.update(optimizer.rows, vectors, kept, every, found, rate, optimizer.clip_row)
        return (vectors, kept), None

    steps = place[1] + jnp.arange(len(chunks["words"]), dtype=jnp.int32)
    return jax.lax.scan(step, state, (steps, chunks))[0]
