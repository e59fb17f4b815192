"""Language models on a text: perplexity with the carried state, loss by position, and comparable units.

The loss of a token is its negative log-probability in nats. The number of tokens depends on the tokeniser, so the total
is also divided by the numbers of words and bytes, which do not:

    perplexity = exp(total / tokens),  word perplexity = exp(total / words),  bits per byte = total / (ln 2 * bytes)

Of `<unk>` a model predicts only that some rare word comes, which is easy where many are rare. So its share is stated,
and figures by word and byte compare with those of other vocabularies only where it is 0 and nothing is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.tables import aligned

# (carry, batch) -> (nats [B, T], whether the target was the likeliest [B, T], carry)
Score = Callable[[Any, Mapping[str, Any]], tuple[Any, Any, Any]]


class Scores(NamedTuple):
    """What a model, or a baseline, gives each of N tokens."""

    nats: np.ndarray  # float64 [N], -ln of its probability
    correct: np.ndarray  # bool [N], whether no token was likelier


def score_stream(score: Score, carry: Any, steps: Iterable[Mapping[str, np.ndarray]]) -> Scores:
    """The scores of all targets of contiguous lanes, in the order of the text.

    `steps` are batches of `w2v_jax.data.lanes`, entries [B, T]; `carry` is the state before the first.
    """
    found, there = [], []
    for batch in steps:
        *values, carry = score(carry, batch)
        found.append(values)  # not fetched here: the next step need not wait
        there.append(np.asarray(batch["targets"]) >= 0)
    nats, correct = (np.concatenate([np.asarray(v) for v in parts], axis=1) for parts in zip(*found, strict=True))
    known = np.concatenate(there, axis=1)
    return Scores(nats[known].astype(np.float64), correct[known])


def strided_windows(
    stream: np.ndarray,
    first: int | None,
    length: int,
    stride: int,
    rows: int,
    offsets: np.ndarray | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Overlapping windows of a text; each scores only the tokens that the window before did not reach.

    Window k holds predictions kS .. kS + T - 1. All but the first score their last S places, so a token is predicted
    from the T - S to T tokens before it, as far as the text has them. With S = T the windows are blocks.

    Args:
      stream: tokens, int [N].
      first: the token before the first; None leaves the first unpredicted.
      length: T.
      stride: S, 1 to T.
      rows: windows per batch.
      offsets: of the documents of the text, int64 [D + 1]; None: it is one.

    Yields:
      {'tokens', 'targets', 'doc' int32 [rows, T], 'start', 'words' int32 [rows]}; targets are -1 where nothing is
      scored, 'doc' is the number of the document of the token that follows, scored or not; -1 beyond the text.
    """
    whole = np.asarray(stream) if first is None else np.concatenate([[first], stream])
    inputs, targets = whole[:-1].astype(np.int32), whole[1:].astype(np.int32)
    ends = [len(stream)] if offsets is None else offsets[1:]
    doc = np.searchsorted(ends, np.arange(int(first is None), len(stream)), side="right").astype(np.int32)
    starts = np.arange(0, max(len(targets) - length, 0) + stride, stride)
    for at in range(0, len(starts), rows):
        some = starts[at : at + rows]
        place = some[:, None] + np.arange(length)[None]
        there, safe = place < len(targets), np.minimum(place, len(targets) - 1)
        new = (place >= np.where(some, some + length - stride, 0)[:, None]) & there
        batch = {"tokens": inputs[safe], "targets": np.where(new, targets[safe], -1)}
        batch["doc"] = np.where(there, doc[safe], -1)
        padded = {k: np.pad(v, ((0, rows - len(some)), (0, 0)), constant_values=-1) for k, v in batch.items()}
        padded["tokens"] = np.maximum(padded["tokens"], 0)
        yield padded | {"start": np.ones(rows, np.int32), "words": (padded["targets"] >= 0).sum(1).astype(np.int32)}


def perplexity(nats: float) -> float:
    """exp(nats a unit), held below the largest number."""
    return math.exp(min(nats, 700.0))


def summarise(
    scores: Scores,
    known: np.ndarray,
    words: int | None,
    size: int,
    *,
    ends: int = 0,
    outside: bool = False,
    dropped: bool = False,
) -> dict[str, Any]:
    """The usual figures from the scores of all tokens of a text of `words` words and `size` bytes.

    `known` bool [N] says which tokens are not `<unk>`. 'known_accuracy' is the accuracy on these, None without any.
    'word_perplexity' is None where nobody has counted the words of the tokens. `ends` of the words are ends of
    documents. 'outside_tokens' is there with `outside`, where the tokens are of a tokeniser from outside, which may
    leave out a part of the text; 'dropped_tokens' with `dropped`, where words outside the vocabulary are left out.
    """
    nats, correct = scores
    total = float(nats.sum())
    return {
        "tokens": len(nats),
        "unknown": 1.0 - float(known.mean()),
        "words": words,
        "ends": ends,
        "bytes": size,
        "nats_per_token": total / len(nats),
        "perplexity": perplexity(total / len(nats)),
        "word_perplexity": None if words is None else perplexity(total / max(words, 1)),
        "bits_per_byte": total / (math.log(2) * max(size, 1)),
        "accuracy": float(correct.mean()),
        "known_accuracy": float(correct[known].mean()) if known.any() else None,
    } | {name: True for name, there in (("outside_tokens", outside), ("dropped_tokens", dropped)) if there}


def by_position(nats: np.ndarray, places: np.ndarray, most: int) -> list[dict[str, float]]:
    """Mean loss (nats float64 [N]) by position (places int64 [N], tokens seen before) below `most`.

    The width of the bins doubles, so that each holds many tokens. One record per bin: {'first', 'last', 'tokens',
    'nats', 'error'}, where 'error' is the standard error of the mean.
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
    """The number of tokens before each token in its document: int64 [D + 1] offsets -> int64 [N]."""
    return np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], np.diff(offsets))


_COLUMNS = {  # key of `summarise` -> (head of its column, form of a number)
    "tokens": ("tokens", "{:,}"),
    "unknown": ("<unk>", "{:.1%}"),
    "nats_per_token": ("nats/token", "{:.4f}"),
    "perplexity": ("perplexity", "{:,.2f}"),
    "word_perplexity": ("word perplexity", "{:,.2f}"),
    "bits_per_byte": ("bits/byte", "{:.4f}"),
    "accuracy": ("accuracy", "{:.2%}"),
    "known_accuracy": ("without <unk>", "{:.2%}"),
}
_BY_TEXT = ("word_perplexity", "bits_per_byte")  # figures that are made to compare vocabularies


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """An aligned table, one line per result of `summarise`, and what to know of it. A star marks figures that do not
    compare."""

    def cell(result: Mapping[str, Any], key: str) -> str:
        if result[key] is None:
            return "-"
        partly = result["unknown"] or result.get("outside_tokens") or result.get("dropped_tokens")
        star = "*" if key in _BY_TEXT and partly else ""
        return _COLUMNS[key][1].format(result[key]) + star

    rows = [[name, *(cell(result, key) for key in _COLUMNS)] for name, result in results.items()]
    lines = [aligned([["split", *(head for head, _ in _COLUMNS.values())], *rows])]
    return "\n".join(lines + _notes(results))


def _notes(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the stars of `table` mean, and what its words are."""
    notes, every = [], results.values()
    if any(result["unknown"] for result in every):
        notes.append("* not comparable with other vocabularies: <unk> stands for any rare word, and is not spelt")
    if any(result.get("dropped_tokens") for result in every):
        notes.append(
            "* not comparable with other vocabularies: what is outside this one is left out (data.unknown=drop)"
        )
    if any(result["word_perplexity"] is None for result in every):
        notes.append("- not known: nobody has counted the words of the text without the characters that are left out")
    if any(result.get("outside_tokens") for result in every):
        whole = "holds the whole text in its tokens, and none of them is dropped (data.unknown, data.min_count)"
        notes.append(f"* comparable with other vocabularies only where the own tokeniser {whole}")
    # Every row of a text has the same.
    counts = dict.fromkeys(f"{r['ends']:,} of {r['words']:,}" for r in every if r.get("ends") and r["words"])
    if counts:
        notes.append(f"words, with the end of every document counted as one: {', '.join(counts)} are ends")
    return notes
