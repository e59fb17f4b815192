"""What families on running text share; all but `read_text` is of language models on contiguous lanes of text."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.errors import UserError
from w2v_jax.types import Array, Batch, Consts, Metrics, Say, Shapes, Source

PAD_VOCAB = 128  # tables have a multiple of it in rows; fixed, so that a checkpoint does not depend on the mesh


def read_text(cfg: Any, data: Any, say: Say) -> Any:
    """The `Corpus` that a DataConfig names; read once, then cached."""
    from w2v_jax.data.corpus import build_corpus

    return build_corpus(data, say)


def resolve(cfg: Any, vocab_size: int) -> Any:
    """Fills in the vocabulary size.

    Raises:
      UserError: fewer than two tokens, or another number than the config states.
    """
    if vocab_size < 2:
        raise UserError(f"the vocabulary has {vocab_size} token: a language model needs at least 2")
    if cfg.vocab_size and cfg.vocab_size != vocab_size:
        raise UserError(f"model.vocab_size={cfg.vocab_size}: the corpus has {vocab_size} tokens")
    return dataclasses.replace(cfg, vocab_size=vocab_size)


def shapes(cfg: Any, batch_size: int) -> Shapes:
    """`batch_size` lanes of `cfg.length` tokens; see `w2v_jax.data.lanes`."""
    sizes = {
        "tokens": (batch_size, cfg.length),
        "targets": (batch_size, cfg.length),
        "start": (batch_size,),
        "words": (batch_size,),
    }
    return {name: jax.ShapeDtypeStruct(shape, jnp.int32) for name, shape in sizes.items()}


def source(cfg: Any, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """Contiguous lanes of a split; nothing is shuffled, so the seed plays no part."""
    from w2v_jax.data.lanes import lane_source

    return lane_source(getattr(text, split), shapes(cfg, batch_size), start_id=text.tokenizer.end_id)


def rows(cfg: Any, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
    """Nothing is sparse: the softmax touches every row of its table."""
    return {}, batch


def metrics_of(batch: Batch, nats: Array, correct: Array, scored: Array) -> Metrics:
    """'loss' (nats, tokens), 'correct' (tokens whose target scored highest, tokens), 'words' (raw tokens, rows).

    Args:
      batch: of the step.
      nats, correct: of every place, 0 and False where nothing is scored.
      scored: which places are.
    """
    count = jnp.sum(scored).astype(jnp.float32)
    return {
        "loss": (nats.sum(), count),
        "correct": (correct.sum().astype(jnp.float32), count),
        "words": (batch["words"].sum().astype(jnp.float32), jnp.float32(batch["words"].shape[0])),
    }
