"""What classifiers of labelled texts have in common: texts, batches, word vectors, pooling, softmax and metrics.

    p(y | w_1..w_n) = softmax(s W + b),    s [F] from vectors[w_1]..vectors[w_n], as the family has it

The families' configs have `classes`, `dim`, `max_length`, `init_scale`, `vectors`, `frozen` and `vocab_size`, and the
properties `padded_vocab` and `trains_embedding`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.config import DataConfig, check
from w2v_jax.errors import UserError
from w2v_jax.models.vectors import read_vectors, start_vectors
from w2v_jax.nn.arrays import given, uniform
from w2v_jax.types import Array, Batch, Consts, Init, Leaf, Loss, Metrics, Params, Say, Shapes, Source, Train, Words

BUCKETS = 16  # groups of similar length: less padding than 1, and batches still differ from pass to pass
PAD_VOCAB = 128  # fixed, so that a checkpoint does not depend on the mesh
HIDE = -1e30  # what a place beyond the text counts as under pool=max


# ---- options and data ----


def check_options(cfg: Any) -> None:
    """Raises `UserError` for impossible values of the options that the families share."""
    check(cfg.classes >= 2, "model.classes", cfg.classes, "at least 2")
    for key, size in {"hidden": cfg.hidden, "dim": cfg.dim, "max_length": cfg.max_length}.items():
        check(size >= 1, f"model.{key}", size, "at least 1")
    check(0 <= cfg.dropout < 1, "model.dropout", cfg.dropout, "0 or more and below 1")
    check(cfg.init_scale > 0, "model.init_scale", cfg.init_scale, "above 0")


def resolve(cfg: Any, vocab_size: int) -> Any:
    """Fills in the vocabulary size."""
    if cfg.vocab_size and cfg.vocab_size != vocab_size:
        raise UserError(f"model.vocab_size={cfg.vocab_size}: the vocabulary has {vocab_size} words")
    return dataclasses.replace(cfg, vocab_size=vocab_size)


def shapes(cfg: Any, batch_size: int) -> Shapes:
    """`batch_size` labelled texts; see `w2v_jax.data.examples`."""
    column = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    tokens = jax.ShapeDtypeStruct((batch_size, cfg.max_length), jnp.int32)
    return {"tokens": tokens} | dict.fromkeys(("length", "steps", "label", "words"), column)


def read_text(cfg: Any, data: DataConfig, say: Say) -> Any:
    """The labelled texts that `data` names, over the words of the given vectors where there are any."""
    from w2v_jax.data.labelled_corpus import build_labelled_corpus

    words = read_vectors(cfg.vectors).words if cfg.vectors else ()
    return build_labelled_corpus(data, cfg.classes, words, say)


def source(cfg: Any, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """Labelled texts of a split, those of similar length together; only the training texts are shuffled."""
    from w2v_jax.data.examples import example_source

    part, entries = getattr(text, split), shapes(cfg, batch_size)
    return example_source(part.ids, part.labels, entries, buckets=BUCKETS, seed=seed, shuffle=split == "train")


def carry(cfg: Any, rows: int) -> dict[str, Array]:
    """Nothing: every text begins anew."""
    return {}


def rows(cfg: Any, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
    """Nothing is sparse: a step of long texts touches most of the words that matter."""
    return {}, batch


# ---- word vectors ----


def consts(cfg: Any, words: Words) -> Consts:
    """{'vectors': [V', D]} where vectors are given, else {}."""
    if not cfg.vectors:
        return {}
    return {"vectors": start_vectors(cfg.vectors, words.words, cfg.dim, cfg.padded_vocab, cfg.init_scale)}


def embedding(cfg: Any, vectors: Array | None = None) -> dict[str, Leaf]:
    """{'embed': [V', D]}, split by vocabulary: the given vectors or uniform on [-init_scale, init_scale); {} where they
    are frozen."""
    if not cfg.trains_embedding:
        return {}
    start = uniform(-cfg.init_scale, cfg.init_scale) if vectors is None else given(vectors)
    return {"embed": Leaf((cfg.padded_vocab, cfg.dim), ("vocab", "embed"), start, cfg.dim)}


def word_vectors(cfg: Any, params: Params, consts: Consts) -> Array:
    """The table that words are looked up in, [V', D]."""
    table: Array = params["embed"] if cfg.trains_embedding else consts["vectors"]
    return table


def embed(cfg: Any, params: Params) -> dict[str, Array]:
    """The trained word vectors, [V, D]; none where they are frozen."""
    return {"E": params["embed"][: cfg.vocab_size]} if cfg.trains_embedding else {}


# ---- from the outputs of all words to the loss ----


def pool(how: str, h: Array, length: Array) -> Array:
    """Mean or max over the words of a text: [T, B, F] -> [B, F]; zeros for a text without words.

    Args:
      how: mean | max.
      h: outputs; those from `length` on are not read.
      length: int32 [B].
    """
    valid = (jnp.arange(h.shape[0], dtype=jnp.int32)[:, None] < length[None])[..., None]
    if how == "mean":
        return jnp.where(valid, h, 0.0).sum(0) / jnp.maximum(length, 1)[:, None]
    return jnp.where(length[:, None] > 0, jnp.where(valid, h, HIDE).max(0), 0.0)


def logits_of(params: Params, s: Array) -> Array:
    """s W + b with 'head' of the parameters, [B, F] -> [B, classes]."""
    return s @ params["head"]["W"] + params["head"]["b"][None]


def label_loss(logits: Array, batch: Batch) -> tuple[Array, Metrics]:
    """(sum of -log p(label) in nats over the rows over those of the whole step, metrics); rows of label -1 weigh 0.

    Additive over rows. Metrics: 'loss' (nats, texts), 'correct' (texts whose label scored highest, texts), 'words'
    (raw words, rows).
    """
    label = batch["label"]
    there = label >= 0
    at_label = jnp.take_along_axis(logits, jnp.where(there, label, 0)[:, None], axis=1)[:, 0]
    total = jnp.where(there, jax.nn.logsumexp(logits, axis=1) - at_label, 0.0).sum()
    count = there.sum().astype(jnp.float32)
    correct = (there & (logits.argmax(1) == label)).sum().astype(jnp.float32)
    metrics = {
        "loss": (total, count),
        "correct": (correct, count),
        "words": (batch["words"].sum().astype(jnp.float32), jnp.float32(label.shape[0])),
    }
    return total / batch["global_rows"], metrics


def training(init: Init, loss: Loss) -> Train:
    """The trained part of a classifier with these two functions of its own."""
    return Train(shapes, source, init, carry, rows, loss)


SHARED: dict[str, Any] = {"resolve": resolve, "text": read_text, "consts": consts, "embed": embed}
