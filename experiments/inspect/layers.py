"""Attention and probes of every layer of a language model, over many texts, for `experiments.inspect --layers`."""

from __future__ import annotations

import sys
from functools import partial
from typing import NamedTuple

import numpy as np

from experiments.common.language import corpus_of
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.evaluation import attention, probes
from w2v_jax.states import encode_of, states_of
from w2v_jax.train.restore import Model

TOKENS = 8192  # read by default
WORDS = 200  # most frequent types, the labels of probes
BACK = (0, 1, 2, 4, 8)  # places back of the words that probes read


class Attention(NamedTuple):
    """L layers of N heads over W windows of T tokens. Of one chunk of windows there is no mean over windows yet."""

    heads: dict[str, np.ndarray]  # [L, N] of `attention.summary`, mean over windows; of a chunk [L, B, N]
    distance: np.ndarray  # [L, bins] share of attention, mean over heads and windows; of a chunk [L, B, bins]
    received: np.ndarray  # [L, W, T], mean over heads


class Found(NamedTuple):
    """All measurements of a model."""

    windows: np.ndarray  # int32 [W, T]
    split: str
    causal: bool
    attention: Attention | None
    kinds: np.ndarray | None  # [L, len(KINDS)]
    probes: dict[str, list[probes.Probe]]  # by label, after 0 to L layers


def windows_of(model: Model, count: int | None) -> tuple[np.ndarray, str]:
    """(int32 [W, T], name of the split): windows of `model.length` that do not overlap, spread over the run's text.

    W is at most `count`; None is about `TOKENS` tokens. UserError: fewer than two windows in the text.
    """
    corpus, length = corpus_of(model), model.cfg.length
    split = "heldout" if corpus.heldout.documents else "train"
    stream = np.asarray(getattr(corpus, split).tokens)
    there = len(stream) // length
    if there < 2:
        raise UserError(f"data.source={model.config.data.source}: its {split} text has no two windows of {length}")
    wanted = min(there, max(2, count or TOKENS // length))
    places = np.linspace(0, there - 1, wanted).astype(np.int64)
    return stream[: there * length].reshape(there, length)[places].astype(np.int32), split


def measure(model: Model, count: int | None) -> Found:
    """Measures every layer of a transformer or a recurrent language model on `windows_of(model, count)`.

    Raises:
      UserError: another family, a window of one token, too little text.
    """
    if model.spec.score is None:
        raise UserError(f"--layers: is for language models, not family={model.config.family!r}")
    if model.cfg.length < 2:
        raise UserError("--layers: needs a model of model.length=2 at least")
    windows, split = windows_of(model, count)
    states, chunks = [], []
    for chunk, weights in states_of(model, windows):
        states.append(chunk)
        if weights is not None:
            chunks.append(_of_chunk(weights))
    causal = encode_of(model).causal(model.cfg)
    found = _joined(chunks) if chunks else None
    kinds = None if found is None else _kinds(model.tokenizer, windows, found, causal)
    hidden = [np.concatenate(layer) for layer in zip(*states, strict=True)]
    return Found(windows, split, causal, found, kinds, read_all(model.tokenizer, windows, hidden))


def _of_chunk(weights: list[np.ndarray]) -> Attention:
    """Of one chunk of windows, from the weights [B, N, T, T] of every layer."""
    heads = [attention.summary(layer) for layer in weights]
    mean = np.stack([layer.mean(axis=1) for layer in weights])
    by_name = {name: np.stack([layer[name] for layer in heads]) for name in heads[0]}
    return Attention(by_name, attention.by_distance(mean), attention.received(mean))


def _joined(chunks: list[Attention]) -> Attention:
    names, joined = chunks[0].heads, partial(np.concatenate, axis=1)
    heads = {name: joined([chunk.heads[name] for chunk in chunks]).mean(axis=1) for name in names}
    distance = joined([chunk.distance for chunk in chunks]).mean(axis=1)
    return Attention(heads, distance, joined([chunk.received for chunk in chunks]))


def _kinds(tokenizer: Tokenizer, windows: np.ndarray, seen: Attention, causal: bool) -> np.ndarray:
    names = [tokenizer.decode([i]) for i in range(tokenizer.size)]
    kinds = attention.kinds_of(names, tokenizer.vocab.counts, tokenizer.end_id, tokenizer.unknown_id)[windows]
    expected = attention.received(attention.uniform(windows.shape[1], causal))
    return np.stack([attention.by_kind(got, expected, kinds) for got in seen.received])


def labels_of(tokenizer: Tokenizer, windows: np.ndarray) -> dict[str, np.ndarray]:
    """Labels of probes by name, int64 [W, T]: the next word, the word k places back, the place in the document."""
    kept = np.argsort(-tokenizer.vocab.counts, kind="stable")[:WORDS]
    names = {"next word": -1} | {f"{k} back" if k else "current word": k for k in BACK}
    words = {name: probes.words_back(windows, k, kept) for name, k in names.items()}
    return words | {"place": probes.since_start(windows, tokenizer.end_id)}


def read_all(tokenizer: Tokenizer, windows: np.ndarray, hidden: list[np.ndarray]) -> dict[str, list[probes.Probe]]:
    """Probes by label and layer, fitted on every second window and scored on the others. UserError: too little text."""
    fit = np.arange(len(windows)) % 2 == 0
    labels = labels_of(tokenizer, windows)
    out: dict[str, list[probes.Probe]] = {name: [] for name in labels}
    for i, states in enumerate(hidden):
        for name, wanted in labels.items():
            probe = probes.read(states, wanted, fit)
            out[name] += [] if probe is None else [probe]
        print(f"probes: layer {i} of {len(hidden) - 1}", file=sys.stderr)
    if not any(out.values()):
        count, length = windows.shape
        raise UserError(f"--layers: {count} windows of {length} tokens are too few to fit a probe; give more text")
    return {name: found for name, found in out.items() if found}
