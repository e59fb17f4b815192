"""Words to token ids, word by word, so that the tokens of each word are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from w2v_jax.config import own_tokens
from w2v_jax.data import bpe
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.words import prepared, words_of


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """A text as words."""

    words: tuple[str, ...]
    ids: list[np.ndarray]  # int32, the tokens of each word; empty for a word that the model does not read
    unknown: np.ndarray  # bool [words]: outside the vocabulary


@dataclasses.dataclass(frozen=True, eq=False)
class Cutter:
    """The words of texts and their tokens, by the tokeniser of a model."""

    tokenizer: Tokenizer
    _known: dict[str, tuple[np.ndarray, bool]] = dataclasses.field(default_factory=dict)

    def __call__(self, text: str | Sequence[str]) -> Cut:
        """A text that is cut already, or a string that the tokeniser cuts.

        A given word may be several tokens, or none: a tokeniser of letters reads no comma, and one with
        `data.unknown=drop` no unknown word. Byte pairs, characters and tokens of `json:` are those of the word after
        a blank, also at the start of a text, so that a word has the same tokens everywhere; byte pairs of a string
        keep its own blanks. Tokens of `json:` and `python:` are the words of a string.
        """
        if not isinstance(text, str):
            found = [self._word(word) for word in text]
            return Cut(tuple(text), [ids for ids, _ in found], np.array([u for _, u in found], bool))
        if self.tokenizer.kind == "bpe":
            pieces = self._pieces(text)
            ids = [self.tokenizer.encode(piece) for piece in pieces]
            return Cut(tuple(piece.strip() for piece in pieces), ids, np.zeros(len(pieces), bool))
        words = self.words(text)
        if not own_tokens(self.tokenizer.kind):
            return self(words)
        # Such a token (`##ing`) is no text: cut again it would be other tokens.
        own = [self.tokenizer.encode_words([word]) for word in words]
        return Cut(tuple(words), [ids for ids, _ in own], np.array([bool(lost) for _, lost in own], bool))

    def words(self, text: str) -> list[str]:
        """The words of a string."""
        if self.tokenizer.kind == "bpe":
            return [piece.strip() for piece in self._pieces(text)]
        return text.split() if self.tokenizer.kind == "characters" else words_of(text, self.tokenizer.rules)

    def _pieces(self, text: str) -> list[str]:
        """What byte pairs are merged within: a word, a number or marks, with the blank before it."""
        whole = prepared(text, self.tokenizer.rules)
        spans = self.tokenizer.model.pre_tokenizer.pre_tokenize_str(whole)
        pieces = [bpe.as_bytes(piece).decode("utf-8", "replace") for piece, _ in spans]
        return [piece for piece in pieces if piece.strip()]

    def _word(self, word: str) -> tuple[np.ndarray, bool]:
        found = self._known.get(word)
        if found is None:
            kind = self.tokenizer.kind
            own = kind.startswith("json:")
            after = (" " if own or kind in ("bpe", "characters") else "") + word
            found = self.tokenizer.encode(after), bool(self.tokenizer.outside(after if own else word))
            self._known[word] = found
        return found
