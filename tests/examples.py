"""Plausible input for any registered model: batches, parameters and consts, from its spec alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import Config
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.family import Family
from w2v_jax.models import MODELS
from w2v_jax.recorded import to_dict
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.fingerprint import fingerprint
from w2v_jax.types import Consts, HostBatch, Params, Words

# Half the compile time; what is computed stays the same.
QUICK: Any = {"xla_backend_optimization_level": 0}


def quick(fn: Callable[..., Any], *args: Any) -> Any:
    """`fn(*args)` under jit, compiled with little effort."""
    return jax.jit(fn).lower(*args).compile(compiler_options=QUICK)(*args)


def trained_families() -> dict[str, Family]:
    """The families that are trained by steps, by name."""
    return {name: family for name, family in MODELS.items() if family.train is not None}


def words_of(vocab_size: int) -> Words:
    """A vocabulary without names, of `zipf_counts`."""
    return Words(None, zipf_counts(vocab_size))


def zipf_counts(vocab_size: int) -> np.ndarray:
    """Counts by rank, falling, all distinct."""
    return (1000 / np.arange(1, vocab_size + 1) ** 0.7).astype(np.int64) + np.arange(vocab_size, 0, -1)


def device_consts(spec: Family, cfg: Any, vocab_size: int) -> Consts:
    """The model's consts over `zipf_counts`."""
    return jax.tree.map(jnp.asarray, spec.consts(cfg, words_of(vocab_size)))


def batch_size_for(spec: Family, cfg: Any, rows: int) -> int:
    """The smallest batch size whose batch axis is a multiple of `rows`."""
    for size in range(1, 4097):
        try:
            shapes = spec.trained.shapes(cfg, size)
        except UserError:  # e.g. no whole number of rows
            continue
        if all(s.shape[0] % rows == 0 for s in shapes.values()):
            return size
    raise AssertionError(f"no batch size up to 4096 gives a multiple of {rows} rows")


def random_batch(spec: Family, cfg: Any, batch_size: int, rng: np.random.Generator) -> HostBatch:
    """A batch as `shapes` describes it. Unknown integer entries hold word ids, float ones normal numbers."""
    out = {}
    for name, entry in spec.trained.shapes(cfg, batch_size).items():
        if name == "doc":
            # Documents of about 5 tokens, the end of the batch padding.
            doc = np.cumsum(rng.random(entry.shape) < 0.2, axis=-1)
            values = np.where(np.arange(doc.size).reshape(doc.shape) < doc.size - 3, doc, -1)
        elif name == "reach":
            values = rng.integers(1, cfg.window + 1, entry.shape)
        elif name == "words":
            values = rng.integers(1, 100, entry.shape)
        elif name in ("length", "steps"):  # of a classifier's texts; every text ends with the last step
            values = np.full(entry.shape, cfg.max_length)
        elif name == "count":  # of pairs of words
            values = rng.lognormal(0.0, 1.0, entry.shape)
        elif name == "label":
            values = rng.integers(0, cfg.classes, entry.shape)
        elif name == "score":  # of a pair, from DIFFERENT to SAME
            values = rng.random(entry.shape)
        elif np.issubdtype(entry.dtype, np.integer):
            values = rng.integers(0, cfg.vocab_size, entry.shape)
        else:
            values = rng.standard_normal(entry.shape)
        out[name] = values.astype(entry.dtype)
    return out


def with_rows(batch: HostBatch) -> HostBatch:
    """The batch with the entries that the step adds."""
    size = len(next(iter(batch.values())))
    return batch | {"row": np.arange(size, dtype=np.int32), "global_rows": np.asarray(size, np.float32)}


def whole_logits(family: Family, cfg: Any, params: Params, consts: Consts, tokens: Any) -> Any:
    """Logits after each token of texts int32 [B, T] read at once, [B, T, V]."""
    assert family.encode is not None and family.encode.logits is not None
    lengths = jnp.full(len(tokens), tokens.shape[1], jnp.int32)
    return family.encode.logits(cfg, params, family.encode.states(cfg, params, consts, tokens, lengths)[-1])


def random_params(spec: Family, cfg: Any, consts: Consts, seed: int, scale: float = 0.5) -> Params:
    """Parameters of the model's shapes, every number normal: zeros of the real start would hide wrong gradients."""
    shapes = jax.eval_shape(lambda: spec.trained.init(jax.random.key(0), cfg, consts))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: jnp.asarray(scale * rng.standard_normal(s.shape), s.dtype), shapes)


def labelled_texts(
    count: int, longest: int, vocab_size: int, classes: int, seed: int, junk: bool = False
) -> dict[str, Any]:
    """A classifier's batch as the step hands it over, of texts shorter than `longest`; beyond a text's end there are
    zeros, or other words."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, vocab_size, (count, longest)).astype(np.int32)
    length = rng.integers(1, longest, count).astype(np.int32)
    if not junk:
        tokens[np.arange(longest) >= length[:, None]] = 0
    return {
        "tokens": tokens,
        "length": length,
        "steps": np.full(count, length.max(), np.int32),
        "label": rng.integers(0, classes, count).astype(np.int32),
        "words": length,
        "row": np.arange(count, dtype=np.int32),
        "global_rows": np.float32(count),
    }


WORDS = ("the", "big", "dog", "cat", "ran", "sat", "and", "fox", "red", "saw")


def saved(workdir: Path, family: str, words: tuple[str, ...] = WORDS, end: str = "<eos>", **model: Any) -> Path:
    """A run folder of random parameters, with all that `open_model` reads. Without `end` unknown words are dropped."""
    spec = MODELS[family]
    names = (*words, end) if end else words
    vocab = Vocabulary(names, np.arange(len(names), 0, -1))
    tokenizer = Tokenizer("whitespace", True, "error" if end else "drop", end, vocab)
    config = Config(family, spec.config(**model))
    cfg = spec.resolve(config.model, tokenizer.size)
    tokenizer.save(workdir)
    (workdir / "config.json").write_text(json.dumps(to_dict(config)))
    (workdir / "result.json").write_text("{}")  # it has ended
    consts = jax.tree.map(jnp.asarray, spec.consts(cfg, Words(names, vocab.counts)))
    meta = {"config": to_dict(config), "tokenizer": tokenizer.digest, "consts": fingerprint(consts)}
    with Checkpointer(workdir / "checkpoints", asynchronous=False) as checkpoints:
        checkpoints.save(7, {"params": random_params(spec, cfg, consts, seed=1)}, meta, block=True)
    return workdir
