"""What the families share. Lanes and their scores are for language models, the rest is for every family."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.family import Carry, Init, Loss, Train
from w2v_jax.models.frequencies import alias_table, noise_probability
from w2v_jax.nn.draws import alias_words
from w2v_jax.nn.head import cross_entropy
from w2v_jax.nn.sampled import sampled_cross_entropy
from w2v_jax.types import Array, Batch, Consts, Metrics, Say, Shapes, Source, Words

NOISE = 1 << 21  # place of the noise's draw within a model, beyond those of dropout, masks and resets
PAD_VOCAB = 128  # tables have a multiple of this many rows; fixed, so that a checkpoint does not depend on the mesh


def resolve(cfg: Any, vocab_size: int) -> Any:
    """`cfg` with its vocabulary size. UserError: fewer than two tokens, or not the number that the config states."""
    if vocab_size < 2:
        raise UserError(f"the vocabulary has {vocab_size} token: a model needs at least 2; give it more text")
    if cfg.vocab_size and cfg.vocab_size != vocab_size:
        raise UserError(f"model.vocab_size={cfg.vocab_size}: the text has {vocab_size} tokens; leave it at 0")
    return dataclasses.replace(cfg, vocab_size=vocab_size)


def read_text(cfg: Any, data: Any, say: Say) -> Any:
    """The `Corpus` that a DataConfig names; read once, then cached."""
    from w2v_jax.data.corpus import build_corpus

    return build_corpus(data, say)


def same_words(before: Words, after: Words, rows: int) -> np.ndarray:
    """int64 [rows]: for each word of `after` its row in `before`, -1 where it has none; for `Family.grow`."""
    index = {word: i for i, word in enumerate(before.words or ())}
    out = np.full(rows, -1, np.int64)
    out[: len(after.counts)] = [index.get(word, -1) for word in after.words or ()]
    return out


def int32(**sizes: tuple[int, ...]) -> Shapes:
    """The entries of a batch from their sizes."""
    return {name: jax.ShapeDtypeStruct(size, jnp.int32) for name, size in sizes.items()}


def no_carry(cfg: Any, rows: int) -> dict[str, Array]:
    """Nothing is carried: every window or text stands alone."""
    return {}


def no_rows(cfg: Any, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
    """Nothing is sparse: a step touches every row of its table, or most of those that matter."""
    return {}, batch


def shapes(cfg: Any, batch_size: int) -> Shapes:
    """`batch_size` lanes of `cfg.length` tokens; see `w2v_jax.data.lanes`."""
    lanes, column = (batch_size, cfg.length), (batch_size,)
    return int32(tokens=lanes, targets=lanes, start=column, words=column)


def source(cfg: Any, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """Contiguous lanes of a split. Nothing is shuffled, so the seed plays no part."""
    return lanes(text, split, shapes(cfg, batch_size))


def lanes(text: Any, split: str, entries: Shapes) -> Source:
    """`w2v_jax.data.lanes.lane_source` of a split, with the entries that `entries` states."""
    from w2v_jax.data.lanes import lane_source

    return lane_source(getattr(text, split), entries, start_id=text.tokenizer.end_id)


def training(init: Init, loss: Loss, carry: Carry = no_carry) -> Train:
    """The trained part of a language model with its own `init`, `loss` and `carry`."""
    return Train(shapes, source, init, carry, no_rows, loss)


def noise_of(cfg: Any, words: Words) -> Consts:
    """'accept', 'alias' and 'log_share' [V] of unigram^0.75 where `cfg.noise_words` are drawn from it, else {}."""
    if not cfg.noise_words:
        return {}
    share = noise_probability(np.maximum(words.counts, 1))
    accept, alias = alias_table(share)
    return {"accept": accept, "alias": alias, "log_share": np.log(share).astype(np.float32)}


def share_scored(cfg: Any) -> float:
    """The rows of the head's table that a target is scored against in training, as a share of the vocabulary: with
    `cfg.noise_words` these and its own."""
    return (cfg.noise_words + 1) / cfg.vocab_size if cfg.noise_words else 1.0


def score_targets(
    cfg: Any,
    consts: Consts,
    hidden: Array,
    table: Array,
    bias: Array,
    targets: Array,
    rng: Array | None,
) -> tuple[Array, Array, Array]:
    """`cross_entropy` where each of the T places of a row weighs 1 / T; hidden [B, T, H], targets int32 [B, T].

    In training (`rng` given) with `cfg.noise_words` it is `sampled_cross_entropy`.
    """
    flat = targets.reshape(-1)  # row after row, because devices split the rows
    weights, rows = jnp.full(flat.shape, 1.0 / targets.shape[1]), hidden.reshape(flat.size, -1)
    if rng is None or not cfg.noise_words:
        return cross_entropy(rows, table, bias, flat, weights, cfg.vocab_size, cfg.head_chunk)
    # The same words for all rows, devices and microbatches.
    own, one_row = jax.random.fold_in(rng, NOISE), jnp.zeros(1, jnp.int32)
    noise = alias_words(consts["accept"], consts["alias"], own, one_row, cfg.noise_words)[0]
    return sampled_cross_entropy(rows, table, bias, flat, weights, noise, consts["log_share"][noise])


def metrics_of(batch: Batch, nats: Array, correct: Array, scored: Array) -> Metrics:
    """'loss' (nats, places), 'correct' (places whose target scored highest, places), 'words' (raw words, rows).

    `scored` says which places count; `nats` and `correct` are 0 and False at the others.
    """
    count = jnp.sum(scored).astype(jnp.float32)
    return {
        "loss": (nats.sum(), count),
        "correct": (correct.sum().astype(jnp.float32), count),
        "words": (batch["words"].sum().astype(jnp.float32), jnp.float32(batch["words"].shape[0])),
    }
