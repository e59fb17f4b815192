"""The loss of every token of a text, each document read by itself, for `experiments.evaluate --tokens`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.data.alone import Alone
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import escape
from w2v_jax.evaluation.language import Score, Scores, score_stream, strided_windows
from w2v_jax.files import write_text

HEAD = ("line", "position", "token", "nats", "known", "written")
Batch = dict[str, np.ndarray]


def lanes(group: Sequence[np.ndarray], first: int | None, length: int, rows: int) -> Iterator[Batch]:
    """Windows of at most `rows` documents side by side, for a model that carries a state from one to the next."""
    whole = [d if first is None else np.concatenate([[first], d]) for d in group]
    for at in range(0, max(len(d) - 1 for d in whole), length):
        tokens = np.zeros((rows, length), np.int32)
        targets = np.full_like(tokens, -1)
        for row, document in enumerate(whole):
            piece = document[at : at + length + 1]
            size = max(len(piece) - 1, 0)
            tokens[row, :size], targets[row, :size] = piece[:-1], piece[1:]
        start = np.full(rows, at == 0, np.int32)
        yield {"tokens": tokens, "targets": targets, "start": start, "words": (targets >= 0).sum(1).astype(np.int32)}


def windows(documents: Sequence[np.ndarray], first: int | None, length: int, stride: int, rows: int) -> Iterator[Batch]:
    """The overlapping windows of each document, `rows` of them in a batch, for a model that carries nothing."""
    single = itertools.chain.from_iterable(strided_windows(d, first, length, stride, 1) for d in documents)
    while some := list(itertools.islice(single, rows)):
        empty = {"tokens": 0, "targets": -1, "doc": -1, "start": 1, "words": 0}
        pads = {k: np.full((rows - len(some), *v.shape[1:]), empty[k], v.dtype) for k, v in some[0].items()}
        yield {k: np.concatenate([*(window[k] for window in some), pads[k]]) for k in pads}


def score_documents(
    score: Score, start: Any, texts: Sequence[np.ndarray], first: int | None, length: int, stride: int | None, rows: int
) -> Scores:
    """The scores of the tokens of documents in order, each document from the state `start` of `rows` rows.

    `first` is the token before each document; None leaves its first token out. `stride` None: the state is carried.
    """
    texts = [document for document in texts if len(document) > (first is None)]
    sizes = np.array([len(document) - (first is None) for document in texts], np.int64)
    begins = np.cumsum(sizes) - sizes
    nats, correct = np.zeros(int(sizes.sum())), np.zeros(int(sizes.sum()), bool)
    if not texts:
        return Scores(nats, correct)
    if stride is not None:
        found = [
            (*score(start, batch)[:2], batch["targets"] >= 0) for batch in windows(texts, first, length, stride, rows)
        ]
        nats[:], correct[:] = (np.concatenate([np.asarray(part[i])[part[2]] for part in found]) for i in (0, 1))
        return Scores(nats, correct)
    longest = np.argsort(-sizes, kind="stable")  # lanes of like length: little padding
    for at in range(0, len(longest), rows):
        some = longest[at : at + rows]
        part = score_stream(score, start, lanes([texts[i] for i in some], first, length, rows))
        place = np.concatenate([np.arange(begins[i], begins[i] + sizes[i]) for i in some])
        nats[place], correct[place] = part
    return Scores(nats, correct)


def documents_of(found: Alone) -> list[np.ndarray]:
    """The tokens of each document."""
    return np.split(np.asarray(found.tokens.tokens), found.tokens.offsets[1:-1])


def write(path: Path, found: Alone, tokenizer: Tokenizer, nats: np.ndarray) -> None:
    """Writes a line for every scored token, whole or not at all: see `HEAD`. Lines and positions are counted from 1,
    and what is left out of a text counts."""
    offsets = found.tokens.offsets
    left = int(tokenizer.end_id is None)  # the first token of a document, which nothing predicts
    positions, ids, names = found.written
    rows, at = ["\t".join(HEAD)], 0
    for line, begin, document in zip(found.places.tolist(), offsets.tolist(), documents_of(found), strict=False):
        pieces = tokenizer.pieces(document)
        for j in range(left, len(document)):
            known, piece, place = int(document[j] != tokenizer.unknown_id), pieces[j], begin + j
            written = piece if known else escape(names[ids[place]])
            rows.append(f"{line + 1}\t{positions[place]}\t{piece}\t{nats[at]:.6f}\t{known}\t{written}")
            at += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join(rows) + "\n")
