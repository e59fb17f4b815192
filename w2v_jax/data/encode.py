"""From text to token files: count with provisional ids in one pass, then map them to the ids of the vocabulary."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data.sources import END, RawText
from w2v_jax.data.vocabulary import UNKNOWN, Vocabulary, as_str, splitter

_SCRATCH = "provisional"
_BATCH = 1 << 20  # tokens mapped at a time
_TELL_SECONDS = 5.0


class _Ids(dict[str | bytes, int]):
    """Word to provisional id; a new word gets the next one."""

    def __missing__(self, word: str | bytes) -> int:
        new = self[word] = len(self)
        return new


@dataclasses.dataclass(frozen=True)
class Counted:
    """The result of the pass over the text."""

    words: list[str]  # by provisional id; id 0 is the end-of-document mark
    counts: np.ndarray  # int64 [P], training documents only
    heldout_counts: np.ndarray  # int64 [P]
    lengths: list[np.ndarray]  # int64 words a document, in pieces, empty documents left out
    documents: int
    empty: int  # documents without any word
    digest: str  # of the content


def count(cfg: DataConfig, text: RawText, work: Path, say: Callable[[str], object]) -> Counted:
    """Reads the text once; writes provisional ids (uint32, no document marks) to a scratch file in `work`."""
    ids, cut, content = _Ids(), splitter(cfg), hashlib.blake2b(digest_size=32)
    ids[cut(f" {END} ")[0]] = 0
    counter = _Counter(cfg.heldout_every)
    start = told = time.monotonic()
    with open(work / _SCRATCH, "wb") as out:
        for chunk, done in text.chunks(content):
            words = cut(chunk)
            counter.add(np.fromiter(map(ids.__getitem__, words), np.uint32, len(words)), len(ids), out)
            now = time.monotonic()
            if now - told > _TELL_SECONDS:
                told = now
                say(_progress(counter.words, done, text.size, now - start))
    seconds = max(time.monotonic() - start, 1e-9)
    say(f"corpus: {counter.words:,} words read in {seconds:.1f} s ({counter.words / seconds:,.0f} words/s)")
    pad = len(ids)
    return Counted(
        words=[as_str(w) for w in ids],
        counts=_padded(counter.counts[0], pad),
        heldout_counts=_padded(counter.counts[1], pad),
        lengths=counter.lengths,
        documents=counter.documents,
        empty=counter.empty,
        digest=content.hexdigest(),
    )


def _padded(a: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([a, np.zeros(size - len(a), np.int64)])


def _progress(words: int, done: int, size: int, seconds: float) -> str:
    line = f"corpus: {words:,} words read, {words / seconds:,.0f} words/s"
    if size and done:
        left = int(seconds * max(size - done, 0) / done)
        line += f", {min(100.0, 100.0 * done / size):.0f} %, about {left // 60}:{left % 60:02d} left"
    return line


class _Counter:
    """Counts words by split, and the lengths of documents, from chunks that may end inside a document."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.counts = [np.zeros(0, np.int64), np.zeros(0, np.int64)]
        self.lengths: list[np.ndarray] = []
        self.documents = self.empty = self.words = 0
        self.open = 0  # words so far of the document that the last chunk left open

    def add(self, ids: np.ndarray, known: int, out: BinaryIO) -> None:
        """`ids` holds provisional ids with 0 at the end of each document; `known` ids exist so far."""
        ends = np.flatnonzero(ids == 0)
        words = np.delete(ids, ends) if len(ends) else ids
        out.write(words.data)
        # Segment j runs to end j, the last one to the end of the chunk; `inside` are its words in this chunk.
        inside = np.diff(ends, prepend=-1, append=len(ids)) - 1
        sizes = inside.copy()
        sizes[0] += self.open
        closed, self.open = sizes[:-1], int(sizes[-1])
        numbers = self.documents + np.concatenate([[0], np.cumsum(closed > 0)])
        held = is_heldout(numbers, self.every)
        mask = np.repeat(held, inside) if held.any() else None
        for i, part in enumerate([words, words[:0]] if mask is None else [words[~mask], words[mask]]):
            if len(part):
                new = np.bincount(part, minlength=known).astype(np.int64, copy=False)
                new[: len(self.counts[i])] += self.counts[i]
                self.counts[i] = new
        self.lengths.append(closed[closed > 0])
        self.documents += len(self.lengths[-1])
        self.empty += len(closed) - len(self.lengths[-1])
        self.words += len(words)


def is_heldout(documents: np.ndarray, every: int) -> np.ndarray:
    """bool, like `documents` (numbers of documents with words): document i is held out if i % every == every - 1."""
    return documents % every == every - 1 if every else np.zeros(len(documents), bool)


def encode(cfg: DataConfig, counted: Counted, work: Path) -> dict[str, Any]:
    """Writes vocabulary, tokens and offsets of both splits into `work`; returns the record that opens them."""
    vocab, table, dropped = _vocabulary(cfg, counted)
    vocab.save(work / "vocab.txt")
    lengths = np.concatenate(counted.lengths)
    held = is_heldout(np.arange(len(lengths)), cfg.heldout_every)
    dtype = np.dtype(np.uint16 if len(vocab) <= 1 << 16 else np.uint32)
    with (
        open(work / _SCRATCH, "rb") as f,
        _Writer(work, "train", dtype) as train,
        _Writer(work, "heldout", dtype) as rest,
    ):
        _map_documents(f, table, np.cumsum(lengths), held, (train, rest))
    os.unlink(work / _SCRATCH)
    report = {
        "documents": counted.documents,
        "words": int(lengths.sum()),
        "types_kept": len(vocab),
        "types_dropped": int(dropped.sum()),
        "oov_words": int(((counted.counts + counted.heldout_counts) * dropped).sum()),
        "empty_documents": counted.empty,
        "lost_documents": counted.documents - train.documents - rest.documents,
        "heldout_documents": int(held.sum()),
        "heldout_words": int(lengths[held].sum()),
    }
    return {"splits": {"train": train.record(), "heldout": rest.record()}, "report": report}


def _map_documents(
    f: BinaryIO, table: np.ndarray, ends: np.ndarray, held: np.ndarray, writers: tuple[_Writer, _Writer]
) -> None:
    """Maps the provisional ids in `f` by `table`, dropping those below 0. Batches cut documents anywhere.

    Args:
      f: uint32 provisional ids, documents end to end.
      table: int32 [P].
      ends: int64 [D], position after each document's last word.
      held: bool [D].
      writers: for the documents that are not held out, and for those that are.
    """
    held = np.append(held, False)
    start = first = carry = 0  # position, the first incomplete document, its words kept so far
    while start < ends[-1]:
        ids = np.fromfile(f, np.uint32, min(_BATCH, int(ends[-1]) - start))
        stop = start + len(ids)
        last = int(np.searchsorted(ends, stop, "right"))  # documents first..last-1 end in this batch
        cuts = np.concatenate([[start], ends[first:last], [stop]]) - start
        final = table[ids]
        keep = final >= 0
        kept = np.diff(np.concatenate([[0], np.cumsum(keep)])[cuts])
        kept[0] += carry
        carry = int(kept[-1])
        inside, of_held = np.diff(cuts), held[first : last + 1]
        words_held = np.repeat(of_held, inside)
        for which, writer in enumerate(writers):
            mine = of_held == bool(which)
            words_mine = words_held if which else ~words_held
            writer.add(final[keep & words_mine], kept[:-1][mine[:-1]], int(inside[mine].sum()))
        start, first = stop, last


def _vocabulary(cfg: DataConfig, counted: Counted) -> tuple[Vocabulary, np.ndarray, np.ndarray]:
    """(vocabulary, int32 [P] final id of each provisional one or -1, bool [P] which types are outside)."""
    kept = np.flatnonzero(counted.counts >= cfg.min_count)
    order = sorted(kept.tolist(), key=lambda i: (-int(counted.counts[i]), counted.words[i]))
    order = order[: cfg.max_vocab] if cfg.max_vocab else order
    dropped = np.ones(len(counted.words), bool)
    dropped[order] = False
    dropped[0] = False
    entries = {counted.words[i]: int(counted.counts[i]) for i in order}
    if cfg.unknown == "keep":
        # A text may already hold the word <unk>; the words that become it join it.
        entries[UNKNOWN] = entries.get(UNKNOWN, 0) + int(counted.counts[dropped].sum())
    ranked = sorted(entries.items(), key=lambda e: (-e[1], e[0]))
    vocab = Vocabulary(tuple(w for w, _ in ranked), np.array([n for _, n in ranked], np.int64))
    table = np.full(len(counted.words), vocab.index[UNKNOWN] if cfg.unknown == "keep" else -1, np.int32)
    for i in order:
        table[i] = vocab.index[counted.words[i]]
    return vocab, table, dropped


class _Writer:
    """Appends documents of one split to its token and offset files."""

    def __init__(self, work: Path, split: str, dtype: np.dtype[Any]) -> None:
        self.dtype, self.tokens, self.documents, self.raw, self._end = dtype, 0, 0, 0, 0
        self._tokens = open(work / f"{split}.tokens", "wb")  # noqa: SIM115 - closed by __exit__
        self._offsets = open(work / f"{split}.offsets", "wb")  # noqa: SIM115
        self._offsets.write(np.zeros(1, np.int64).data)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._tokens.close()
        finally:
            self._offsets.close()

    def add(self, tokens: np.ndarray, sizes: np.ndarray, raw: int) -> None:
        """Some tokens, of `raw` words, and the `sizes` of the documents they complete; those of size 0 are skipped."""
        sizes = sizes[sizes > 0]
        offsets = self._end + np.cumsum(sizes, dtype=np.int64)
        self._tokens.write(np.ascontiguousarray(tokens, self.dtype).data)
        self._offsets.write(offsets.data)
        self._end += int(sizes.sum())
        self.tokens += len(tokens)
        self.documents += len(sizes)
        self.raw += raw

    def record(self) -> dict[str, Any]:
        return {"dtype": self.dtype.name, "tokens": self.tokens, "documents": self.documents, "raw_words": self.raw}
