"""Counts of tokens by split and the lengths of documents, chunk by chunk; which documents are held out."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data.provisional import Read

# Each split and the key of `DataConfig` that names its text; documents held out of `source` are of the second split.
SOURCES = {"train": "source", "heldout": "heldout_source", "test": "test_source"}
SPLITS = tuple(SOURCES)


def heldout_every(cfg: DataConfig) -> int:
    """n where every n-th document of `source` is held out (`is_heldout`); 0 where none is."""
    return 0 if cfg.heldout_source else cfg.heldout_every


def is_heldout(document: Any, every: int) -> Any:
    """Whether document i (an integer or an array), numbered without omitted empty ones, is held out; 0 holds none."""
    return document % max(every, 1) == every - 1


def keeps_empty(cfg: DataConfig) -> bool:
    """Whether an empty document stays, as its end token alone."""
    return bool(cfg.end_token) and cfg.document == "line"


class Counter:
    """Counts tokens by split, and the lengths of documents, from chunks that may end inside a document."""

    def __init__(self, cfg: DataConfig, sliced: bool = False) -> None:
        """`sliced`: of a part of the text, in which nobody knows yet which documents are held out."""
        self.every, self.end, self.keep_empty = heldout_every(cfg), bool(cfg.end_token), keeps_empty(cfg)
        self.sliced, self.every = sliced, 0 if sliced else self.every
        self.document_amounts: list[np.ndarray] = []  # of a slice, as `lengths`: int64 [D, 2]
        self.open_amounts = np.zeros(2, np.int64)  # of the document that the last chunk did not finish
        self.counts = [np.zeros(0, np.int64) for _ in SPLITS]
        self.amounts = np.zeros((len(SPLITS), 2), np.int64)  # words and bytes, see `provisional.Read`
        self.lengths: list[np.ndarray] = []
        self.splits: list[np.ndarray] = []
        self.empty = 0
        self.split = self.number = 0  # of the current text: its split, and the number of the next document
        self.limit, self.kept = cfg.tokens_limit, 0  # tokens of training documents of the first text
        self.full, self.taken = False, 0  # the limit is reached; by which document of its chunk, counted from 1
        self.open = 0  # tokens so far of the document that the last chunk did not finish

    @property
    def words(self) -> np.ndarray:
        """int64 [S]: words of each split."""
        return self.amounts[:, 0]

    def padded(self, known: int) -> np.ndarray:
        """int64 [S, P]: how often each of the `known` ids occurs in each split."""
        return np.stack([np.pad(c, (0, known - len(c))) for c in self.counts])

    def begin(self, split: int) -> int:
        """Begins a text; returns the number of words of the earlier ones."""
        self.split, self.number = split, 0
        return int(self.words.sum())

    def add(self, read: Read, known: int, out: BinaryIO) -> None:
        """A chunk as a `provisional.Reader` returns it; `known` ids exist so far. What is past the limit goes."""
        ids, ends = read.ids, np.flatnonzero(read.ids == 0)
        last = self._last(ids, ends) if self.limit and self.split == 0 else None
        if last is not None:
            self.full, self.taken, ids, ends = True, last + 1, ids[: ends[last] + 1], ends[: last + 1]
        # Segment j runs to end j, the last one to the end of the chunk; `inside` are its tokens in this chunk.
        inside = np.diff(ends, prepend=-1, append=len(ids)) - 1
        sizes = inside.copy()
        sizes[0] += self.open
        closed, self.open = sizes[:-1], int(sizes[-1])
        real = (closed > 0) | self.keep_empty
        amounts = self._amounts(read, inside, real, len(inside) - (last is not None))
        held = is_heldout(self.number + np.concatenate([[0], np.cumsum(real)]), self.every if self.split == 0 else 0)
        splits = np.where(held, 1, self.split).astype(np.uint8)
        gone = ends[~real] if self.end else ends
        ids = np.delete(ids, gone) if len(gone) else ids
        out.write(ids.data)
        self._count(ids, inside + np.append(real & self.end, False), amounts, splits, known)
        self.lengths.append((closed + self.end)[real])
        self.splits.append(splits[:-1][real])
        self.number += int(real.sum())
        self.empty += len(real) - int(real.sum())

    def _amounts(self, read: Read, inside: np.ndarray, real: np.ndarray, taken: int) -> np.ndarray:
        """int64 [S, 2], words and bytes of each segment, of which the first `taken` are read. A document that is left
        out has none, also of its parts in earlier chunks."""
        found = np.zeros((len(inside), 2), np.int64)
        found[:taken, 0] = (inside if read.words is None else read.words)[:taken]
        found[:taken, 1] = 0 if read.bytes is None else read.bytes[:taken]
        whole = found.copy()
        whole[0] += self.open_amounts
        self.open_amounts = whole[-1].copy()
        found[:-1][~real] -= whole[:-1][~real]
        if self.sliced:
            self.document_amounts.append(whole[:-1][real])
        return found

    def _last(self, ids: np.ndarray, ends: np.ndarray) -> int | None:
        """The document of a chunk in which the limit is reached, None where it is not."""
        sizes = np.diff(ends, prepend=-1) - 1
        sizes[:1] += self.open
        real = (sizes > 0) | self.keep_empty
        trained = real & ~is_heldout(self.number + np.cumsum(real) - real, self.every)
        reached = self.kept + np.cumsum((sizes + self.end) * trained)
        self.kept = int(reached[-1]) if len(reached) else self.kept
        found = np.flatnonzero(reached >= self.limit)
        return int(found[0]) if len(found) else None

    def _count(self, ids: np.ndarray, inside: np.ndarray, amounts: np.ndarray, splits: np.ndarray, known: int) -> None:
        """Adds the `inside` ids and the `amounts` of each segment to those of its split."""
        present = np.unique(splits).tolist()
        of = np.repeat(splits, inside) if len(present) > 1 else splits[:0]
        for split in present:
            self.amounts[split] += amounts[splits == split].sum(0)
            part = ids[of == split] if len(present) > 1 else ids
            if len(part):
                new = np.bincount(part, minlength=known).astype(np.int64, copy=False)
                new[: len(self.counts[split])] += self.counts[split]
                self.counts[split] = new
