"""From counts to token files: the vocabulary, and the scratch file of provisional ids mapped to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from w2v_jax.config import DataConfig, own_tokens
from w2v_jax.data import known
from w2v_jax.data.counter import SOURCES, SPLITS
from w2v_jax.data.counting import SCRATCH, Counted, blankless_share
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import UNKNOWN, Vocabulary
from w2v_jax.data.words import NAMES
from w2v_jax.errors import UserError

_BATCH = 1 << 20  # tokens mapped at a time


def encode(cfg: DataConfig, counted: Counted, work: Path) -> dict[str, Any]:
    """Writes tokeniser, vocabulary, tokens and offsets of every split into `work`; returns the record that opens them.

    UserError: a word outside the vocabulary under `cfg.unknown='error'`.
    """
    vocab, table, outside = vocabulary(cfg, counted)
    Tokenizer.of(cfg, vocab, counted.model, counted.phrases).save(work)
    written = write(work, counted.lengths, counted.splits, table, dtype_of(len(vocab)))
    return record(cfg, counted, outside, written, len(vocab))


class Sizes(NamedTuple):
    """What was written of a split."""

    tokens: int
    documents: int
    single: int  # documents of one token


def dtype_of(vocabulary: int) -> np.dtype[Any]:
    """The type of token files."""
    return np.dtype(np.uint16 if vocabulary <= 1 << 16 else np.uint32)


def write(work: Path, lengths: np.ndarray, splits: np.ndarray, table: np.ndarray, dtype: np.dtype[Any]) -> list[Sizes]:
    """Maps the scratch file by `table` (int32 [P], -1: dropped) to token and offset files of its D documents."""
    with contextlib.ExitStack() as stack:
        files = [[stack.enter_context(open(work / f"{s}.{k}", "wb")) for k in ("tokens", "offsets")] for s in SPLITS]
        writers = [_Writer(tokens, offsets, dtype) for tokens, offsets in files]
        with open(work / SCRATCH, "rb") as f:
            _map_documents(f, table, np.cumsum(lengths), splits, writers)
    os.unlink(work / SCRATCH)
    return [Sizes(w.tokens, w.documents, w.single) for w in writers]


def record(cfg: DataConfig, counted: Counted, outside: np.ndarray, sizes: Sequence[Sizes], kept: int) -> dict[str, Any]:
    """What opens the files of a corpus, and its report. `outside` bool [P]: types not among the `kept` ones."""
    records = {s: _record(cfg, counted, outside, i, sizes[i], kept) for i, s in enumerate(SPLITS)}
    report: dict[str, Any] = {
        "documents": int(counted.documents.sum()),
        "words": int(counted.words.sum()),
        "types_kept": kept,
        "types_dropped": int((outside & counted.counts.any(0)).sum()),  # past data.tokens_limit some were met, too
        "oov_words": int(counted.counts[:, outside].sum()),
        "empty_documents": counted.empty,
        "lost_documents": int(counted.documents.sum()) - sum(s.documents for s in sizes),
    }
    for split, one in records.items():
        report |= {f"{split}_{key}": one[key] for key in ("documents", "tokens", "words", "bytes")}
    report |= {
        "replaced": counted.replaced,
        "letters": counted.letters,
        "lost": {name: counted.lost.get(kind, 0) for kind, name in NAMES.items()},
    }
    if cfg.stop_words:
        report |= known.stop_words_met(cfg, counted.names)
    return {"splits": records, "report": report, "newer": counted.newer, "blankless": blankless_share(cfg, counted)}


def _record(
    cfg: DataConfig, counted: Counted, outside: np.ndarray, split: int, written: Sizes, vocabulary: int
) -> dict[str, Any]:
    """The description of a split's files; `corpus.Tokens` defines words and bytes."""
    ends = written.documents if cfg.end_token else 0
    kept = counted.counts[split] * (~outside if cfg.unknown == "drop" else 1)
    size = int((kept * counted.sizes).sum())
    if own_tokens(cfg.tokens):
        words, size = int(counted.words[split]) + ends, int(counted.bytes[split]) + written.documents
    elif cfg.tokens in ("characters", "bpe"):
        words, size = int(counted.words[split]) + ends, size + written.documents
    else:  # the blank after a document's last word stands for its line end; a document without words has one too
        words, size = written.tokens, size + (written.single if cfg.end_token else 0)
    sizes = {"tokens": written.tokens, "documents": written.documents, "words": words, "bytes": size}
    return {"dtype": dtype_of(vocabulary).name} | sizes


def _map_documents(
    f: BinaryIO, table: np.ndarray, ends: np.ndarray, splits: np.ndarray, writers: list[_Writer]
) -> None:
    """Maps the provisional ids in `f` (uint32) by `table` (int32 [P]) and drops those below 0.

    `ends` int64 [D] are the positions after each document, `splits` uint8 [D] the index of its writer. Batches cut
    documents anywhere.
    """
    if not len(ends):
        return
    splits = np.append(splits, splits[-1:])
    start = first = carry = 0  # position, the first incomplete document, its tokens kept so far
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
        of = splits[first : last + 1]
        of_ids = np.repeat(of, np.diff(cuts))
        for split in np.unique(of).tolist():
            writers[split].add(final[keep & (of_ids == split)], kept[:-1][of[:-1] == split])
        start, first = stop, last


def vocabulary(cfg: DataConfig, counted: Counted) -> tuple[Vocabulary, np.ndarray, np.ndarray]:
    """(vocabulary, int32 [P] final id of each provisional one or -1, bool [P] which types are outside)."""
    names, train = counted.names, counted.counts[0]
    stop = known.stop_words(cfg)
    if cfg.tokens == "bpe":
        order = list(range(1, len(names)))
    else:
        often = [i for i in (np.flatnonzero(train[1:] >= cfg.min_count) + 1).tolist() if names[i] not in stop]
        ranked = sorted(often, key=lambda i: (-int(train[i]), names[i]))
        stop |= {names[i] for i in [i for i in ranked if names[i] != cfg.end_token][: cfg.skip_top]}
        order = [i for i in ranked if names[i] not in stop][: cfg.max_vocab or None]
    earlier: dict[str, int] = {}
    if cfg.vocabulary_from:
        given = known.vocabulary_from(cfg)
        earlier = {w: n for w, n in zip(given.words, given.counts.tolist(), strict=True) if w not in stop}
        order = _with(names, order, earlier)
        if not train[order].any():
            few = f"none of its words is in the text, and no other occurs data.min_count={cfg.min_count} times there"
            few += ", but words of data.stop_words or data.skip_top" if stop else ""
            raise UserError(
                f"data.vocabulary_from={cfg.vocabulary_from}: {few}; lower data.min_count or give more text"
            )
    if not order:
        raise UserError(f"data.stop_words={cfg.stop_words}: leaves no word; take some off the list")
    outside = np.ones(len(names), bool)
    outside[[0, *order]] = False
    entries = earlier | {names[i]: int(train[i]) + earlier.get(names[i], 0) for i in order}
    # A text may already hold the end token or <unk> as a word: they join.
    ends = [0]
    if cfg.end_token:
        ends += [i for i, name in enumerate(names) if name == cfg.end_token and i]
        entries[cfg.end_token] = int(train[ends].sum())
        outside[ends] = False
    if cfg.unknown == "error":
        _refuse(cfg, counted, outside, stop)
    if cfg.unknown == "keep" and cfg.tokens != "bpe":
        entries[UNKNOWN] = entries.get(UNKNOWN, 0) + int(train[outside].sum())
    rows = sorted(entries.items(), key=lambda e: (-e[1], e[0]))
    vocab = Vocabulary(tuple(w for w, _ in rows), np.array([n for _, n in rows], np.int64))
    table = np.full(len(names), vocab.index[UNKNOWN] if UNKNOWN in entries and cfg.unknown == "keep" else -1, np.int32)
    table[order] = [vocab.index[names[i]] for i in order]
    if cfg.end_token:
        table[ends] = vocab.index[cfg.end_token]
    return vocab, table, outside


def _with(names: Sequence[str], order: list[int], earlier: Mapping[str, int]) -> list[int]:
    """The ids of `order`, and those of the words of an earlier vocabulary that are not among them."""
    chosen = set(order)
    return [*order, *(i for i, name in enumerate(names) if i and name in earlier and i not in chosen)]


def _refuse(cfg: DataConfig, counted: Counted, outside: np.ndarray, stop: Collection[str]) -> None:
    """UserError: a word is outside the vocabulary, be it one of `stop`, those of data.stop_words and skip_top."""
    for split, counts in zip(SPLITS, counted.counts, strict=True):
        missing = np.flatnonzero(outside & (counts > 0))
        if len(missing):
            key = SOURCES[split] if getattr(cfg, SOURCES[split]) else "source"
            word = counted.names[missing[0]]
            listed = word in stop and word in known.stop_words(cfg)
            cause = "data.stop_words" if listed else "data.skip_top" if word in stop else "data.min_count"
            raise UserError(
                f"data.{key}={getattr(cfg, key)!r}: {word!r} is not in the vocabulary of the training documents; "
                f"set data.unknown=keep, or change {cause}" + ("" if word in stop else " or data.max_vocab")
            )


class _Writer:
    """Appends documents of one split to its token and offset files."""

    def __init__(self, tokens: BinaryIO, offsets: BinaryIO, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.tokens = self.documents = self._end = 0
        self.single = 0  # documents of one token
        self._tokens, self._offsets = tokens, offsets
        self._offsets.write(np.zeros(1, np.int64).data)

    def add(self, tokens: np.ndarray, sizes: np.ndarray) -> None:
        """Tokens, and `sizes` of the documents that they complete, 0 for no document."""
        sizes = sizes[sizes > 0]
        offsets = self._end + np.cumsum(sizes, dtype=np.int64)
        self._tokens.write(np.ascontiguousarray(tokens, self.dtype).data)
        self._offsets.write(offsets.data)
        self._end += int(sizes.sum())
        self.tokens += len(tokens)
        self.documents += len(sizes)
        self.single += int((sizes == 1).sum())
