"""Text to provisional token ids in order of appearance; final ids follow from counts that are not known yet.

A reader takes the chunks of `raw.RawText` in turn, and returns a `Read`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple, Protocol

import numpy as np

from w2v_jax.config import DataConfig, own_tokens
from w2v_jax.data import bpe
from w2v_jax.data.raw import END, MARK, pieces
from w2v_jax.data.words import (
    SOFT_HYPHEN,
    SUSPECT,
    Rules,
    as_str,
    bits_of,
    characters_of,
    codes_of,
    cutter,
    kinds_met,
    prepared,
)

_CODES = 0x110000
_UNSEEN = ("\u200c", "\u200d", SOFT_HYPHEN)


class Read(NamedTuple):
    """A chunk of text in ids. S pieces (`raw.pieces`), T ids."""

    ids: np.ndarray  # uint32 [T], with 0 where a document ends
    words: np.ndarray | None = None  # int64 [S] white-space separated words of each piece; None: every id is one
    bytes: np.ndarray | None = None  # int64 [S] UTF-8 bytes of each piece; None: those of the ids are (`sizes`)


class Reader(Protocol):
    """See the module's docstring. `len` is the number of ids so far, with the 0; `names` are the tokens by id."""

    met: dict[str, int]  # characters of the text by kind; empty where nothing can be left out of it
    newer: bool  # whether the text has what the rules of 2026 read otherwise than those before

    def __call__(self, chunk: str) -> Read: ...
    def __len__(self) -> int: ...
    def names(self) -> list[str]: ...


def reader(cfg: DataConfig, model: Any, kept: str = "") -> Reader:
    """The reader for `cfg.tokens`; `model` is the trained one of bpe, `kept` the content of the file of json: where a
    run has kept it."""
    if own_tokens(cfg.tokens):
        return _Own(Rules.of(cfg)._replace(kept=kept))
    if cfg.tokens == "bpe":
        return _Pairs(Rules.of(cfg), model)
    return _Characters(Rules.of(cfg)) if cfg.tokens == "characters" else _Words(Rules.of(cfg))


def lost(met: Mapping[str, int], names: Sequence[str], counts: np.ndarray) -> dict[str, int]:
    """Characters of a text that are in none of its words, by kind: those `met` less those of the words.

    `names` are the P words by provisional id, `counts` int64 [P] how often each occurs.
    """
    kept = characters_of(names[1:], counts[1:]) if met else {}
    return {kind: number - kept[kind] for kind, number in met.items()}


def sizes(tokens: str, names: Sequence[str]) -> np.ndarray:
    """int64: UTF-8 bytes of each id's text, with the blank after a word; 0 for id 0, and for all ids of a
    tokeniser from outside, whose tokens need not be parts of the text. `tokens` is as in `DataConfig`."""
    if own_tokens(tokens):
        return np.zeros(len(names), np.int64)
    after = tokens not in ("characters", "bpe")  # a name of byte pairs has one character per byte
    return np.array([0, *(len(n if tokens == "bpe" else n.encode()) + after for n in names[1:])], np.int64)


class _Words:
    def __init__(self, rules: Rules) -> None:
        self._rules, self._cut = rules, cutter(rules)
        self._ids: dict[str | bytes, int] = defaultdict(count(1).__next__)  # a new word gets the next one
        self._ids[self._cut(MARK)[0]] = 0
        self.met: dict[str, int] = {}
        self.newer = False

    def __call__(self, chunk: str) -> Read:
        if not self.newer and self._rules.tokens in ("punctuation", "whitespace") and not chunk.isascii():
            odd = (bits_of(codes_of(chunk)[0]) & SUSPECT).any() or any(c in chunk for c in _UNSEEN)
            self.newer = bool(odd)
        whole = prepared(chunk, self._rules)
        text = whole.encode() if self._rules.tokens == "letters" else whole  # once for both that read it
        if self._rules.tokens != "whitespace":
            for kind, number in kinds_met(text, chunk, self._rules).items():
                self.met[kind] = self.met.get(kind, 0) + number
        words = self._cut(text)
        return Read(np.fromiter(map(self._ids.__getitem__, words), np.uint32, len(words)))

    def __len__(self) -> int:
        return len(self._ids)

    def names(self) -> list[str]:
        return [as_str(w) for w in self._ids]


class _Own:
    """By a tokeniser from outside, which gets each document as it does when a model is applied to a text."""

    def __init__(self, rules: Rules) -> None:
        self._rules, self._cut = rules, cutter(rules)
        self._ids: dict[str | bytes, int] = defaultdict(count(1).__next__)
        self.met: dict[str, int] = {}
        self.newer = False

    def __call__(self, chunk: str) -> Read:
        parts = pieces(prepared(chunk, self._rules))
        ids: list[int] = []
        for number, part in enumerate(parts):
            ids += [0] * bool(number)
            ids += map(self._ids.__getitem__, self._cut(part))
        size = np.array([len(part.encode("utf-8", "surrogatepass")) for part in parts], np.int64)
        return Read(np.array(ids, np.uint32), _words(parts), size)

    def __len__(self) -> int:
        return 1 + len(self._ids)

    def names(self) -> list[str]:
        return [END, *map(as_str, self._ids)]


class _Characters:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.met: dict[str, int] = {}
        self.newer = False
        self._codes = np.zeros(1, np.uint32)  # by id
        self._ids = np.full(_CODES, -1, np.int32)  # by code point
        self._ids[ord(END)] = 0

    def __call__(self, chunk: str) -> Read:
        parts = pieces(prepared(chunk, self._rules))
        codes = np.frombuffer(END.join(parts).encode("utf-32-le"), "<u4")
        new = np.unique(codes[self._ids[codes] < 0])
        self._ids[new] = np.arange(len(self), len(self) + len(new))
        self._codes = np.concatenate([self._codes, new.astype(np.uint32)])
        return Read(self._ids[codes].astype(np.uint32), _words(parts))

    def __len__(self) -> int:
        return len(self._codes)

    def names(self) -> list[str]:
        return [chr(c) for c in self._codes]


class _Pairs:
    def __init__(self, rules: Rules, model: Any) -> None:
        self._rules, self._model = rules, model
        self.met: dict[str, int] = {}
        self.newer = False
        self._names = [END, *bpe.names(model)]

    def __call__(self, chunk: str) -> Read:
        parts = pieces(prepared(chunk, self._rules))
        rows = bpe.encode(self._model, parts)
        ends = np.cumsum([len(r) for r in rows[:-1]], dtype=np.int64)
        return Read(np.insert(bpe.joined(rows) + 1, ends, 0).astype(np.uint32), _words(parts))

    def __len__(self) -> int:
        return len(self._names)

    def names(self) -> list[str]:
        return self._names


def _words(parts: list[str]) -> np.ndarray:
    return np.array([len(p.split()) for p in parts], np.int64)
