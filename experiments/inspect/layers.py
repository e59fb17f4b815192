"""What each layer of a language model looks at and holds, over many texts; `experiments.inspect --layers` calls it."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np

from experiments.common.language import corpus_of
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.evaluation import attention, probes
from w2v_jax.states import encode_of, states_of
from w2v_jax.train.restore import Model

TOKENS = 8192  # read where the number of windows is not given
WORDS = 200  # most frequent types, which probes name
BACK = (0, 1, 2, 4, 8)  # places back that are read


class Attention(NamedTuple):
    """L layers of N heads over W windows of T tokens."""

    heads: dict[str, np.ndarray]  # [L, N] of `attention.summary`, mean over windows
    distance: np.ndarray  # [L, bins] share of attention, mean over heads and windows
    received: np.ndarray  # [L, W, T], mean over heads


class Found(NamedTuple):
    """Everything that is measured."""

    windows: np.ndarray  # int32 [W, T]
    split: str
    causal: bool
    attention: Attention | None
    kinds: np.ndarray | None  # [L, len(KINDS)]
    probes: dict[str, list[probes.Probe]]  # by what is read, after 0 to L layers


def windows_of(model: Model, count: int | None) -> tuple[np.ndarray, str]:
    """(int32 [W, T], name of the split): windows of `model.length` that do not overlap, spread over the run's text.

    Args:
      model: a language model.
      count: W at most; None for about `TOKENS` tokens.

    Raises:
      UserError: fewer than two windows in the text.
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
    """Reads windows of the run's text and measures every layer.

    Args:
      model: a transformer or a recurrent language model.
      count: windows, None for about `TOKENS` tokens.

    Raises:
      UserError: another family, a window of one token, too little text.
    """
    if model.spec.score is None:
        raise UserError(f"--layers: is for language models, not family={model.config.family!r}")
    if model.cfg.length < 2:
        raise UserError("--layers: needs a model of model.length=2 at least")
    windows, split = windows_of(model, count)
    states, rows = [], []
    for chunk, seen in states_of(model, windows):
        states.append(chunk)
        if seen is not None:
            rows.append([_rows(weights) for weights in seen])
    causal = encode_of(model).causal(model.cfg)
    found = _attention(rows) if rows else None
    kinds = None if found is None else _kinds(model.tokenizer, windows, found, causal)
    hidden = [np.concatenate(layer) for layer in zip(*states, strict=True)]
    return Found(windows, split, causal, found, kinds, read_all(model.tokenizer, windows, hidden))


def _rows(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Of each window of one layer's weights [B, N, T, T]."""
    mean = weights.mean(axis=1)
    whole = {"of windows: distance": attention.by_distance(mean), "of windows: received": attention.received(mean)}
    return attention.summary(weights) | whole


def _attention(chunks: list[list[dict[str, np.ndarray]]]) -> Attention:
    layers = [
        {name: np.concatenate([chunk[name] for chunk in layer]) for name in layer[0]}
        for layer in zip(*chunks, strict=True)
    ]
    distance = np.stack([layer.pop("of windows: distance").mean(axis=0) for layer in layers])
    received = np.stack([layer.pop("of windows: received") for layer in layers])
    heads = {name: np.stack([layer[name].mean(axis=0) for layer in layers]) for name in layers[0]}
    return Attention(heads, distance, received)


def _kinds(tokenizer: Tokenizer, windows: np.ndarray, seen: Attention, causal: bool) -> np.ndarray:
    names = [tokenizer.decode([i]) for i in range(tokenizer.size)]
    kinds = attention.kinds_of(names, tokenizer.vocab.counts, tokenizer.end_id, tokenizer.unknown_id)[windows]
    expected = attention.received(attention.uniform(windows.shape[1], causal))
    return np.stack([attention.by_kind(got, expected, kinds) for got in seen.received])


def labels_of(tokenizer: Tokenizer, windows: np.ndarray) -> dict[str, np.ndarray]:
    """What is read, int64 [W, T] each: the next word, the word k places back, and how far in the document this is."""
    kept = np.argsort(-tokenizer.vocab.counts, kind="stable")[:WORDS]
    names = {"next word": -1} | {f"{k} back" if k else "current word": k for k in BACK}
    words = {name: probes.words_back(windows, k, kept) for name, k in names.items()}
    return words | {"place": probes.since_start(windows, tokenizer.end_id)}


def read_all(tokenizer: Tokenizer, windows: np.ndarray, hidden: list[np.ndarray]) -> dict[str, list[probes.Probe]]:
    """A probe for each thing that is read and each layer, fitted on every second window and scored on the others.

    Raises:
      UserError: there is too little text for any.
    """
    fit = np.arange(len(windows)) % 2 == 0
    labels = labels_of(tokenizer, windows)
    out: dict[str, list[probes.Probe]] = {name: [] for name in labels}
    for i, states in enumerate(hidden):
        for name, wanted in labels.items():
            probe = probes.read(states, wanted, fit)
            out[name] += [] if probe is None else [probe]
        print(f"probes: layer {i} of {len(hidden) - 1}", file=sys.stderr)
    if not any(out.values()):
        raise UserError(
            f"--layers: {len(windows)} windows of {windows.shape[1]} tokens are too little to fit a probe on"
        )
    return {name: found for name, found in out.items() if found}
