"""What classifiers of labelled texts share: options, texts, batches, word vectors, pooling, softmax and metrics.

p(y | w_1..w_n) = softmax(s W + b),    s [F] from vectors[w_1]..vectors[w_n], in each family's own way
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.config import DataConfig, check, check_choice, check_least
from w2v_jax.family import Init, Loss, Train
from w2v_jax.formats import ENCODING_ERRORS
from w2v_jax.models.running_text import PAD_VOCAB, int32, metrics_of, no_carry, no_rows, resolve
from w2v_jax.models.vectors import given_vectors, read_vectors
from w2v_jax.nn.arrays import Start, constant, given, uniform
from w2v_jax.nn.layers import pad_to
from w2v_jax.types import Array, Batch, Consts, Leaf, Metrics, Params, Say, Shapes, Source

BUCKETS = 16  # groups of similar length: less padding than 1, and batches still differ from pass to pass
HIDE = -1e30  # value of a place beyond the text under pool=max


class VectorOptions:
    """The options of word vectors, given or not. Configs inherit it and declare each option with its default."""

    dim: int
    init_scale: float
    vectors: str
    encoding_errors: str
    frozen: bool
    vocab_size: int

    @property
    def padded_vocab(self) -> int:
        """V', rows of the table."""
        return pad_to(self.vocab_size, PAD_VOCAB)

    @property
    def trains_embedding(self) -> bool:
        """Whether the word vectors are parameters."""
        return not (self.vectors and self.frozen)


class LabelOptions(VectorOptions):
    """The options that classifiers share."""

    classes: int
    hidden: int
    dropout: float
    max_length: int

    def check_shared(self) -> None:
        """UserError: an impossible value."""
        check_least(2, "model", self, "classes")
        check_least(1, "model", self, "hidden", "dim", "max_length")
        check(0 <= self.dropout < 1, "model.dropout", self.dropout, "0 or more and below 1")
        check(self.init_scale > 0, "model.init_scale", self.init_scale, "above 0")
        check_choice("model.encoding_errors", self.encoding_errors, ENCODING_ERRORS)


# ---- data ----


def shapes(cfg: LabelOptions, batch_size: int) -> Shapes:
    """`batch_size` labelled texts; see `w2v_jax.data.examples`."""
    column = (batch_size,)
    return int32(tokens=(batch_size, cfg.max_length), length=column, steps=column, label=column, words=column)


def read_text(cfg: LabelOptions, data: DataConfig, say: Say) -> Any:
    """The labelled texts that `data` names. Given vectors decide the vocabulary."""
    from w2v_jax.data.labelled_corpus import build_labelled_corpus

    words = read_vectors(cfg.vectors, cfg.encoding_errors).words if cfg.vectors else ()
    return build_labelled_corpus(data, cfg.classes, words, say)


def source(cfg: LabelOptions, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """Labelled texts of a split, batched by length; only the training texts are shuffled."""
    from w2v_jax.data.examples import example_source

    part, entries = getattr(text, split), shapes(cfg, batch_size)
    return example_source(part.ids, part.labels, entries, buckets=BUCKETS, seed=seed, shuffle=split == "train")


# ---- word vectors ----


def embedding(cfg: VectorOptions, vectors: Array | None = None) -> dict[str, Leaf]:
    """{'embed': [V', D]} split by vocabulary, {} where it is frozen. It starts from `vectors`, else uniform."""
    if not cfg.trains_embedding:
        return {}
    start = uniform(-cfg.init_scale, cfg.init_scale) if vectors is None else given(vectors)
    return {"embed": Leaf((cfg.padded_vocab, cfg.dim), ("vocab", "embed"), start, cfg.dim)}


def word_vectors(cfg: VectorOptions, params: Params, consts: Consts) -> Array:
    """The table in which words are looked up, [V', D]."""
    table: Array = params["embed"] if cfg.trains_embedding else consts["vectors"]
    return table


def embed(cfg: VectorOptions, params: Params) -> dict[str, Array]:
    """The trained word vectors, [V, D]; {} where they are frozen."""
    return {"E": params["embed"][: cfg.vocab_size]} if cfg.trains_embedding else {}


# ---- from the outputs of all words to the loss ----


def pool(how: str, h: Array, length: Array) -> Array:
    """Mean or max (`how`) over the first `length` int32 [B] words: [T, B, F] -> [B, F]; zeros for an empty text."""
    valid = (jnp.arange(h.shape[0], dtype=jnp.int32)[:, None] < length[None])[..., None]
    if how == "mean":
        return jnp.where(valid, h, 0.0).sum(0) / jnp.maximum(length, 1)[:, None]
    return jnp.where(length[:, None] > 0, jnp.where(valid, h, HIDE).max(0), 0.0)


def head(cfg: LabelOptions, features: int, start: Start) -> dict[str, Leaf]:
    """{'W' [F, classes], 'b' [classes]}, used once per text."""
    return {
        "W": Leaf((features, cfg.classes), ("embed", None), start, features, 1.0 / cfg.max_length),
        "b": Leaf((cfg.classes,), (None,), constant(0.0)),
    }


def logits_of(params: Params, s: Array) -> Array:
    """s W + b with 'head' of the parameters, [B, F] -> [B, classes]."""
    return s @ params["head"]["W"] + params["head"]["b"][None]


def label_loss(logits: Array, batch: Batch) -> tuple[Array, Metrics]:
    """(sum of -log p(label) in nats / rows of the whole step, metrics). Rows of label -1 weigh 0.

    Additive over rows. The metrics are those of `metrics_of`, with one place per text.
    """
    label = batch["label"]
    there = label >= 0
    at_label = jnp.take_along_axis(logits, jnp.where(there, label, 0)[:, None], axis=1)[:, 0]
    nats = jnp.where(there, jax.nn.logsumexp(logits, axis=1) - at_label, 0.0)
    metrics = metrics_of(batch, nats, there & (logits.argmax(1) == label), there)
    return metrics["loss"][0] / batch["global_rows"], metrics


def training(init: Init, loss: Loss, attention: Callable[[Any], int] = lambda cfg: 0) -> Train:
    """The trained part of a classifier with its own `init`, `loss` and `attention`."""
    return Train(shapes, source, init, no_carry, no_rows, loss, attention=attention)


SHARED: dict[str, Any] = {"resolve": resolve, "text": read_text, "consts": given_vectors, "embed": embed}
