"""Language models on a text: perplexity with the state carried through it, loss by position, and units that compare.

A token's loss is its negative log-probability in nats. Tokenisers cut a text into different numbers of tokens, so the
total is also divided by the numbers of words and bytes, which do not depend on them:

    perplexity = exp(total / tokens),  word perplexity = exp(total / words),  bits per byte = total / (ln 2 * bytes)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from w2v_jax.tables import aligned

# (carry, batch) -> (nats [B, T], carry)
Score = Callable[[Any, Mapping[str, Any]], tuple[Any, Any]]


def score_stream(score: Score, carry: Any, steps: Iterable[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Losses of all targets of contiguous lanes, the state carried from step to step.

    Args:
      score: a model's scoring function.
      carry: the state before the first step.
      steps: batches of `w2v_jax.data.lanes`, entries [B, T].

    Returns:
      float64 [N], lane after lane, which is the order of the text.
    """
    nats, there = [], []
    for batch in steps:
        values, carry = score(carry, batch)
        nats.append(values)  # not fetched here: the next step need not wait for it
        there.append(np.asarray(batch["targets"]) >= 0)
    lanes = np.concatenate([np.asarray(v, np.float64) for v in nats], axis=1)
    return lanes[np.concatenate(there, axis=1)]


def strided_windows(
    stream: np.ndarray, first: int | None, length: int, stride: int, rows: int
) -> Iterator[dict[str, np.ndarray]]:
    """Overlapping windows of a text; each scores only the tokens that the one before it did not reach.

    Window k holds predictions kS .. kS + T - 1; all but the first score their last S places, so that a token is
    predicted from at least T - S tokens before it (where the text has them), and from up to T. With S = T these are
    blocks.

    Args:
      stream: tokens, int [N].
      first: the token before the first; None leaves the first unpredicted.
      length: T.
      stride: S, 1 to T.
      rows: windows of a batch.

    Yields:
      {'tokens', 'targets' int32 [rows, T], 'start', 'words' int32 [rows]}; targets are -1 where nothing is scored.
    """
    whole = np.asarray(stream) if first is None else np.concatenate([[first], stream])
    inputs, targets = whole[:-1].astype(np.int32), whole[1:].astype(np.int32)
    starts = np.arange(0, max(len(targets) - length, 0) + stride, stride)
    for at in range(0, len(starts), rows):
        some = starts[at : at + rows]
        place = some[:, None] + np.arange(length)[None]
        new = (place >= np.where(some, some + length - stride, 0)[:, None]) & (place < len(targets))
        safe = np.minimum(place, len(targets) - 1)
        batch = {"tokens": inputs[safe], "targets": np.where(new, targets[safe], -1)}
        padded = {k: np.pad(v, ((0, rows - len(some)), (0, 0)), constant_values=-1) for k, v in batch.items()}
        padded["tokens"] = np.maximum(padded["tokens"], 0)
        yield padded | {"start": np.ones(rows, np.int32), "words": (padded["targets"] >= 0).sum(1).astype(np.int32)}


def summarise(nats: np.ndarray, words: int, size: int) -> dict[str, float]:
    """The losses of a text as the usual figures.

    Args:
      nats: of every scored token.
      words, size: words and bytes of the text that they are all of.
    """
    total = float(nats.sum())
    return {
        "tokens": len(nats),
        "words": words,
        "bytes": size,
        "nats_per_token": total / len(nats),
        "perplexity": math.exp(min(total / len(nats), 700.0)),
        "word_perplexity": math.exp(min(total / max(words, 1), 700.0)),
        "bits_per_byte": total / (math.log(2) * max(size, 1)),
    }


def by_position(nats: np.ndarray, places: np.ndarray, most: int) -> list[dict[str, float]]:
    """Mean loss by position, in bins whose width doubles so that each holds many tokens.

    Args:
      nats: float64 [N].
      places: int64 [N], how many tokens each could be predicted from, 0 for none.
      most: positions from here on are left out.

    Returns:
      One record a bin: {'first', 'last', 'tokens', 'nats', 'error'}, the last being the standard error of the mean.
    """
    out, first = [], 0
    while first < most:
        last = min(2 * first if first else 0, most - 1)
        inside = nats[(places >= first) & (places <= last)]
        if len(inside):
            spread = float(inside.std(ddof=1)) if len(inside) > 1 else 0.0
            record = {"first": first, "last": last, "tokens": len(inside), "nats": float(inside.mean())}
            out.append(record | {"error": spread / math.sqrt(len(inside))})
        first = last + 1
    return out


def document_places(offsets: np.ndarray) -> np.ndarray:
    """How many tokens of its own document stand before each token of a stream: int64 [D + 1] offsets -> int64 [N]."""
    return np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], np.diff(offsets))


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """An aligned table, one line per split."""
    head = ["split", "tokens", "nats/token", "perplexity", "word perplexity", "bits/byte"]
    keys = ("tokens", "nats_per_token", "perplexity", "word_perplexity", "bits_per_byte")
    forms = ("{:,}", "{:.4f}", "{:,.2f}", "{:,.2f}", "{:.4f}")
    rows = [[split, *(f.format(r[k]) for k, f in zip(keys, forms, strict=True))] for split, r in results.items()]
    return aligned([head, *rows])
