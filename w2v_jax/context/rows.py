"""Rows of tokens for a model to read, each with the spans of the words whose vectors are wanted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.context.cut import Cut

STEPS = 4  # windows of a long text start at multiples of 1 / STEPS of the context


class Frame(NamedTuple):
    """How a model reads a text."""

    context: int  # C, tokens at most
    end: int | None  # the token between documents in training, which a text is put between; None without
    causal: bool
    mask: int | None = None  # the id that takes the place of every token of the word itself; None: the word is read
    backward: bool = False  # the model was trained on texts from their last token to the first


class Row(NamedTuple):
    """A text, or a window of it."""

    tokens: np.ndarray  # int32 [T]
    spans: list[tuple[int, int, int]]  # (number of the target, its first token, the one after its last)


class Seen(NamedTuple):
    """What became of the words that were asked for."""

    words: int = 0
    unknown: int = 0  # outside the vocabulary: read as <unk>, or not at all
    unread: int = 0  # of no token at all; their vectors are zero
    windowed: int = 0  # in a text longer than the context, read from a window around the word
    shortened: int = 0  # longer than the context themselves, of which only the beginning was read
    alone: int = 0  # without a known word around, where windows are read: the means of these are zero

    def __add__(self, other: object) -> Seen:
        """Sums of all entries."""
        if not isinstance(other, Seen):
            return NotImplemented
        return Seen(*(a + b for a, b in zip(self, other, strict=True)))

    def told(self, context: int) -> str:
        """One line about what is not 0 but `words`; empty where all of it is."""
        parts = {
            "outside the vocabulary": self.unknown,
            "without a token, given zeros": self.unread,
            f"in texts of more than {context} tokens, read from windows of so many": self.windowed,
            "longer than that themselves and cut off": self.shortened,
            "without a known word around, given zeros for the window": self.alone,
        }
        said = [f"{count:,} {what}" for what, count in parts.items() if count]
        return f"of {self.words:,} words {'; '.join(said)}" if said else ""


def rows_of(cut: Cut, targets: Sequence[tuple[int, int]], frame: Frame) -> tuple[list[Row], Seen]:
    """The rows that give `targets` of one text, pairs of (number of the target, index of its word).

    A text that fits into the context is one row, between end tokens where the model knows one (only before it for a
    causal model). Of a longer one each target is read from a window of C tokens, around its middle, or before its end
    for a causal model; a window starts at a multiple of C / 4, so that targets share windows and a vector does not
    depend on which others are wanted. Where the model hides words, each target is a row of its own.
    """
    unknown = sum(bool(cut.unknown[place]) for _, place in targets)
    if frame.mask is None:
        rows, seen = _rows(cut.ids, targets, frame)
        return rows, seen._replace(words=len(targets), unknown=unknown)
    rows, total = [], Seen(len(targets), unknown)
    for number, place in targets:
        hidden = np.full(max(1, len(cut.ids[place])), frame.mask, np.int32)
        found, seen = _rows([*cut.ids[:place], hidden, *cut.ids[place + 1 :]], [(number, place)], frame)
        rows, total = rows + found, total + seen
    return rows, total


def _rows(ids: list[np.ndarray], targets: Sequence[tuple[int, int]], frame: Frame) -> tuple[list[Row], Seen]:
    bounds = np.cumsum([0, *map(len, ids)])
    stream = np.concatenate([*ids, np.zeros(0, np.int32)]).astype(np.int32)
    spans = [(number, int(bounds[place]), int(bounds[place + 1])) for number, place in targets]
    there = [span for span in spans if span[1] < span[2]]
    unread = len(spans) - len(there)
    if frame.backward:
        stream, size = stream[::-1], len(stream)
        there = [(number, size - stop, size - first) for number, first, stop in there]
    if not there:
        return [], Seen(unread=unread)
    edge = np.array([] if frame.end is None else [frame.end], np.int32)
    whole = np.concatenate([edge, stream, edge[: 0 if frame.causal else 1]])
    if len(whole) <= frame.context:
        shift = len(edge)
        return [Row(whole, [(n, first + shift, stop + shift) for n, first, stop in there])], Seen(unread=unread)
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    shortened = 0
    for number, first, stop in there:
        shortened += stop - first > frame.context
        stop = min(stop, first + frame.context)
        start = _start(first, stop, len(stream), frame)
        found[start].append((number, first - start, stop - start))
    rows = [Row(stream[start : start + frame.context], spans) for start, spans in sorted(found.items())]
    return rows, Seen(unread=unread, windowed=len(there), shortened=shortened)


def _start(first: int, stop: int, size: int, frame: Frame) -> int:
    """The first token of the window for the tokens `first` up to `stop`, at most C of them, of a text of `size`."""
    step = max(1, frame.context // STEPS)
    if frame.causal:
        start = -(-(stop - frame.context) // step) * step
    else:
        start = round((first + stop - frame.context) / (2 * step)) * step
    start = min(max(start, stop - frame.context), first)  # all of the word is inside
    return max(0, min(start, size - frame.context))


def lengths_of(context: int) -> tuple[int, ...]:
    """The few lengths that rows are padded to: 16, 24, 32, 48, 64, 96, ... and the context."""
    sizes, size = [], 16
    while size < context:
        sizes += [size, size * 3 // 2]
        size *= 2
    return (*(s for s in sizes if s < context), context)


class Batch(NamedTuple):
    """Rows of one padded length. Spans are empty where there is no target; rows are empty at the end."""

    tokens: np.ndarray  # int32 [B, T]
    lengths: np.ndarray  # int32 [B], at least 1
    spans: np.ndarray  # int32 [B, K, 2]
    numbers: np.ndarray  # int64 [B, K], of the targets; -1 where there is none


def batches(rows: list[Row], context: int, tokens: int, devices: int) -> Iterator[Batch]:
    """All rows, in batches of about `tokens` tokens, with their number a multiple of `devices`.

    Shapes are few: a length of `lengths_of`, one target a row or as many as the length, and B all that fit or, for the
    last rows of a length, an 8th of that, at least 8; the last 8 are a batch of 8.
    """
    sizes = lengths_of(context)
    groups: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in rows:
        length = next(size for size in sizes if size >= len(row.tokens))
        groups[length, 1 if len(row.spans) == 1 else length].append(row)
    for (length, wide), group in sorted(groups.items()):
        most = max(1, tokens // length)
        few, some, full = (-(-count // devices) * devices for count in (8, max(8, most // 8), most))
        while group:
            count = full if len(group) >= full else min(full, some if len(group) > few else few)
            part, group = group[:count], group[count:]
            yield _batch(part, count, length, wide)


def _batch(rows: list[Row], count: int, length: int, wide: int) -> Batch:
    out = Batch(
        np.zeros((count, length), np.int32),
        np.ones(count, np.int32),
        np.zeros((count, wide, 2), np.int32),
        np.full((count, wide), -1, np.int64),
    )
    for i, row in enumerate(rows):
        out.tokens[i, : len(row.tokens)] = row.tokens
        out.lengths[i] = len(row.tokens)
        spans = np.array(row.spans, np.int64)
        out.numbers[i, : len(spans)], out.spans[i, : len(spans)] = spans[:, 0], spans[:, 1:]
    return out
