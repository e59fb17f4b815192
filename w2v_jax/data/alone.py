"""One text by the tokeniser of a trained run, without the text that the run was trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from w2v_jax.config import DataConfig, own_tokens
from w2v_jax.data.backward import Backward, turned
from w2v_jax.data.corpus import Corpus, Tokens, backward
from w2v_jax.data.counter import keeps_empty
from w2v_jax.data.counting import check_words
from w2v_jax.data.phrases import applied
from w2v_jax.data.provisional import lost, reader, sizes
from w2v_jax.data.sources import raw_text
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.told import left_out
from w2v_jax.data.vocabulary import UNKNOWN
from w2v_jax.data.words import NAMES
from w2v_jax.errors import UserError
from w2v_jax.types import Say


class Written(NamedTuple):
    """What the tokens stand for in the source."""

    positions: np.ndarray  # int64 [T], of each in its document, from 1; what is left out counts
    ids: np.ndarray  # uint32 [T], in `names`; 0 is the end of a document
    names: list[str]


class Alone(NamedTuple):
    """A text in tokens, in memory."""

    tokens: Tokens
    places: np.ndarray  # int64 [D], which document of the source each is, from 0; those without a token are left out
    numbers: np.ndarray  # int64 [D], the same without counting empty ones: what decides which are held out
    total: int  # documents of the source
    outside: int  # tokens of the source outside the vocabulary: left out, or read as `<unk>`
    written: Written


class _Read(NamedTuple):
    names: list[str]  # by provisional id; 0 ends a document
    ids: np.ndarray  # uint32, a 0 after each document
    words: int  # white-space separated ones; of a word tokeniser, its own
    amounts: np.ndarray  # int64 [D, 2] words and bytes of each document, of a tokeniser from outside


def corpus(found: Alone, tokenizer: Tokenizer) -> Corpus:
    """The text as the test split of a corpus whose other splits are empty."""
    nothing = Tokens(np.zeros(0, np.int32), np.zeros(1, np.int64))
    report = {"oov_words": found.outside}
    return Corpus(Path(), tokenizer, nothing, nothing, found.tokens, report=report, digest="")


def encode(cfg: DataConfig, tokenizer: Tokenizer, say: Say = lambda line: None) -> Alone:
    """The text `cfg.test_source` in the tokens that `build_corpus` would give it, had the run's text been there.

    UserError: no such text, no word in it, a word outside the vocabulary under `cfg.unknown='error'`.
    """
    read = _joined(_read(cfg, tokenizer, say), tokenizer)
    table, outside = _table(cfg, read, tokenizer)
    strange, given = int(outside[read.ids].sum()), int((read.ids > 0).sum())
    ends = np.flatnonzero(read.ids == 0)
    final = table[read.ids]
    lengths = np.diff(ends, prepend=-1) - 1  # of the documents, before words are dropped
    kept = final >= 0
    real = (lengths > 0) | keeps_empty(cfg)
    kept[ends] = bool(cfg.end_token) & real
    counts = np.diff(np.concatenate([[0], np.cumsum(kept)])[ends + 1], prepend=0)
    places = np.flatnonzero(counts)
    offsets = np.concatenate([[0], np.cumsum(counts[places])]).astype(np.int64)
    tokens = final[kept]
    texts = Tokens(tokens, offsets, *_measured(cfg, read, outside, counts[places], real))
    fate = "read as <unk>" if cfg.unknown == "keep" else "left out"
    share = f"{strange / max(1, given):.1%} of {given:,} tokens{' without ends' if cfg.end_token else ''}"
    more = f"; {strange:,} outside the vocabulary ({share}) are {fate}" if strange else ""
    say(f"corpus: the text: {texts.documents:,} documents with {len(tokens):,} tokens, {texts.words:,} words{more}")
    numbers: np.ndarray = (np.cumsum(real) - real)[places]
    written = _written(cfg, read, ends, kept, offsets)
    if cfg.reversed:
        texts, places, numbers = backward(texts, ended=bool(cfg.end_token)), places[::-1], numbers[::-1]
    return Alone(texts, places, numbers, len(ends), strange, written)


def _read(cfg: DataConfig, tokenizer: Tokenizer, say: Say) -> _Read:
    """The source, whole. UserError: no word in it."""
    read, parts, words = reader(cfg, tokenizer.model, tokenizer.kept), [], 0
    amounts = [np.zeros((1, 2), np.int64)]
    for chunk, _ in raw_text(cfg, "test_source", say).chunks(hashlib.blake2b()):
        found = read(chunk)
        words += int((found.ids > 0).sum() if found.words is None else found.words.sum())
        parts.append(found.ids)
        if found.words is not None and found.bytes is not None:
            new = np.stack([found.words, found.bytes], 1)
            new[0] += amounts[-1][-1]  # of the document that the chunk before did not finish
            amounts += [amounts.pop()[:-1], new]
    ids, names = np.concatenate(parts), read.names()
    check_words(cfg, "test", words if ids.any() else 0)
    if ids[-1]:
        ids = np.append(ids, np.uint32(0))
    met = lost(read.met, names, np.bincount(ids, minlength=len(names)))
    left_out(say, read.met.get("L", 0), {name: met.get(kind, 0) for kind, name in NAMES.items()}, cfg.tokens)
    return _Read(names, ids, words, np.concatenate(amounts)[: int((ids == 0).sum())])


def _joined(read: _Read, tokenizer: Tokenizer) -> _Read:
    """The words with the tokeniser's phrases joined, document by document."""
    if not tokenizer.phrases:
        return read
    passes = [frozenset(pairs) for pairs in tokenizer.phrases]
    index: dict[str, int] = {name: i for i, name in enumerate(read.names) if i}
    out: list[int] = []
    for document in np.split(read.ids, np.flatnonzero(read.ids == 0) + 1)[:-1]:
        found = applied([read.names[i] for i in document[:-1].tolist()], passes)
        out += [*(index.setdefault(word, len(index) + 1) for word in found), 0]
    ids = np.array(out, np.uint32)
    words = read.words if own_tokens(tokenizer.kind) else int((ids > 0).sum())
    return _Read([read.names[0], *index], ids, words, read.amounts)


def _table(cfg: DataConfig, read: _Read, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """(int32 [P], the final id of each provisional one or -1; bool [P], which are outside the vocabulary)."""
    index = tokenizer.vocab.index
    table = np.array([-1, *(index.get(name, -1) for name in read.names[1:])], np.int32)
    outside = table < 0
    outside[0] = False
    if cfg.unknown == "error" and outside.any():
        word = read.names[int(outside.argmax())]
        raise UserError(
            f"data.test_source={cfg.test_source!r}: {word!r} is not in the vocabulary of the run; leave such words "
            "out of the text, or train with data.unknown=keep"
        )
    if cfg.unknown == "keep" and UNKNOWN in index and tokenizer.unknown_id is not None:
        table[outside] = index[UNKNOWN]
    if tokenizer.end_id is not None:
        table[0] = tokenizer.end_id
    return table, outside


def _written(cfg: DataConfig, read: _Read, ends: np.ndarray, kept: np.ndarray, offsets: np.ndarray) -> Written:
    """Of the tokens that are `kept`, in the order in which they are read; `offsets` are those of the text forward."""
    sizes = np.diff(ends, prepend=-1)  # of the documents, with their ends
    positions, ids = np.arange(len(read.ids)) - np.repeat(ends - sizes, sizes), read.ids[kept]
    if not cfg.reversed:
        return Written(positions[kept], ids, read.names)
    ended = bool(cfg.end_token)
    positions, ids = (np.asarray(Backward(x, ended)) for x in ((np.repeat(sizes, sizes) - positions)[kept], ids))
    if ended:  # the end of a document stands behind another than before
        positions = positions.copy()
        positions[turned(offsets)[1:] - 1] = sizes[kept[ends]][::-1]
    return Written(positions, ids, read.names)


def _measured(
    cfg: DataConfig, read: _Read, outside: np.ndarray, counts: np.ndarray, real: np.ndarray
) -> tuple[int, int]:
    """(words, bytes) of the text, by the definitions of `Tokens`; `counts` are the tokens of its documents, `real` says
    which of the source's documents had one, or are kept without."""
    ends = len(counts) if cfg.end_token else 0
    if own_tokens(cfg.tokens):
        words, size = read.amounts[real].sum(0).tolist()
        return words + ends, size + len(counts)
    often = np.bincount(read.ids, minlength=len(read.names)) * (~outside if cfg.unknown == "drop" else 1)
    size, documents = int((often * sizes(cfg.tokens, read.names)).sum()), len(counts)
    if cfg.tokens in ("characters", "bpe"):
        return read.words + ends, size + documents
    return int(counts.sum()), size + (int((counts == 1).sum()) if cfg.end_token else 0)
