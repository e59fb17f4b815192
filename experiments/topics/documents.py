"""documents.tsv: the topics of each document of the text; and which document of the text each one is."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.topics.fits import Fitted
from w2v_jax.config import DataConfig
from w2v_jax.data import alone
from w2v_jax.data.corpus import Corpus
from w2v_jax.data.counter import heldout_every, is_heldout
from w2v_jax.data.documents import counts
from w2v_jax.data.raw import pieces
from w2v_jax.data.sources import raw_text
from w2v_jax.errors import UserError
from w2v_jax.files import atomic
from w2v_jax.storage import local_copy

FILE = "documents.tsv"
BEST = 3  # topics of a document that are written
LINES = "documents.npz"  # the numbers of the documents, so that a query need not read the text for them
_ROWS = 10_000  # written at a time


class Lines(NamedTuple):
    """Which documents of the source, counted from 1, a corpus has."""

    train: np.ndarray  # int64 [N] of the training documents
    held: np.ndarray  # int64 of those held out, rising
    total: int  # of the source


def lines_of(data: DataConfig, corpus: Corpus, folder: Path) -> Lines:
    """The place of each document in the source: what `keep` left in the folder, or by reading the source once more.
    UserError: it has changed."""
    if (found := _kept(folder / LINES, corpus.digest)) is not None:
        return found
    plain = dataclasses.replace(data, test_source=data.source, reversed=False)
    read, every = alone.encode(plain, corpus.tokenizer), heldout_every(data)
    held = is_heldout(read.numbers, every) if every else np.zeros(len(read.places), bool)
    train = read.places[~held][: corpus.train.documents] + 1  # the first ones where data.tokens_limit cuts the text
    if len(train) < corpus.train.documents:
        raise UserError(f"data.source={data.source!r}: the text changed while it was read; run the same command again")
    return Lines(train[::-1] if data.reversed else train, read.places[held] + 1, read.total)


def is_blank(data: DataConfig, document: int) -> bool:
    """Whether a document of the source, counted from 1, holds nothing but white space."""
    first = 1  # the document that the first piece of a chunk is of
    for chunk, _ in raw_text(data).chunks(hashlib.blake2b()):
        found, at = pieces(chunk), document - first
        if 0 <= at < len(found) and found[at].strip():
            return False
        first += len(found) - 1
    return True


def keep(lines: Lines, corpus: Corpus, folder: Path) -> None:
    """Writes the numbers down, for `lines_of` the same text."""
    with atomic(folder / LINES) as f:
        np.savez_compressed(f, digest=np.array(corpus.digest), **lines._asdict())


def _kept(file: Path, digest: str) -> Lines | None:
    """What `keep` wrote; None where it is damaged, or of another text."""
    if not file.is_file():
        return None
    try:
        with np.load(local_copy(file), allow_pickle=False) as found:
            if str(found["digest"]) == digest:
                return Lines(found["train"], found["held"], int(found["total"]))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return None


def write(folder: Path, models: Sequence[Fitted], corpus: Corpus, lines: Lines, data: DataConfig) -> Path:
    """Writes a row a document, in the order of the text: its number, whether it is held out, and of each model the
    `BEST` topics of the largest weights, whatever their sign. Documents without a known word have no row."""
    held = lines.held[: corpus.heldout.documents]  # none where another source is held out
    held = held[::-1] if data.reversed else held
    numbers = np.concatenate([lines.train, held])
    order, sides = np.argsort(numbers, kind="stable"), []
    for model in models:
        more = model.vectors(counts(corpus.heldout, len(corpus.vocab))) if len(held) else model.loadings[:0]
        sides.append(_best(np.concatenate([model.loadings, more])[order]))
    splits = np.array(["train", "heldout"])[(order >= len(lines.train)).astype(int)]
    ranks = range(1, 1 + sides[0][0].shape[1])
    header = [f"{model.name}_{rank}\t{model.name}_{rank}_weight" for model in models for rank in ranks]
    with atomic(folder / FILE) as f:
        f.write("\t".join(["document", "split", *header]).encode() + b"\n")
        for start in range(0, len(order), _ROWS):
            part = slice(start, start + _ROWS)
            cells = [_cells(topics[part], weights[part]) for topics, weights in sides]
            rows = zip(numbers[order][part].tolist(), splits[part].tolist(), *cells, strict=True)
            f.write("".join("\t".join(map(str, row)) + "\n" for row in rows).encode())
    return folder / FILE


def _best(loadings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(topics, weights), [N, `BEST`] each, or as many as there are."""
    topics = np.argsort(-np.abs(loadings), axis=1, kind="stable")[:, :BEST]
    return topics, np.take_along_axis(loadings, topics, axis=1)


def _cells(topics: np.ndarray, weights: np.ndarray) -> list[str]:
    """A topic and its weight, and the next, of each document."""
    rows = zip(topics.tolist(), weights.tolist(), strict=True)
    return ["\t".join(f"{topic}\t{weight:.4g}" for topic, weight in zip(*row, strict=True)) for row in rows]
