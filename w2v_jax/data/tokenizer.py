"""The tokeniser of a corpus as an object of its own, so that text can be encoded and decoded without the corpus."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data import bpe
from w2v_jax.data.vocabulary import UNKNOWN, Vocabulary, escape, unescape, words_of
from w2v_jax.errors import UserError
from w2v_jax.files import parse_json, write_text

# Raise them when the files or the meaning of a rule change. SHOWN is that of bpe, whose vocab.txt holds text. Under
# FORMAT it held one character per byte, which can still be read.
FORMAT, SHOWN = 1, 2
_RULES = ("kind", "lowercase", "unknown", "end_token")


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text to token ids and back, exactly as `build_corpus` did it. An id is the token's position in `vocab`."""

    kind: str  # letters | punctuation | whitespace | characters | bpe: `data.tokens`
    lowercase: bool  # this and the next two as in `DataConfig`
    unknown: str
    end_token: str
    vocab: Vocabulary  # words, characters, or the byte-level strings of bpe
    model: Any = None  # bpe only: the `tokenizers.Tokenizer`

    @classmethod
    def of(cls, cfg: DataConfig, vocab: Vocabulary, model: Any) -> Tokenizer:
        """The tokeniser by the rules of `cfg`."""
        return cls(cfg.tokens, cfg.lowercase, cfg.unknown, cfg.end_token, vocab, model)

    @property
    def size(self) -> int:
        return len(self.vocab)

    @property
    def words(self) -> tuple[str, ...]:
        return self.vocab.words

    @cached_property
    def digest(self) -> str:
        """Digest of rules and tokens without their counts: equal where every text gets the same ids."""
        rules = [getattr(self, name) for name in _RULES] + [self.vocab.words]
        return hashlib.sha256(json.dumps([*rules, bpe.to_json(self.model)]).encode()).hexdigest()

    @cached_property
    def end_id(self) -> int | None:
        """The id that ends a document, None without `data.end_token`."""
        return self.vocab.index[self.end_token] if self.end_token else None

    @cached_property
    def unknown_id(self) -> int | None:
        """The id of `<unk>`, None where the vocabulary has none."""
        return None if self.kind == "bpe" else self.vocab.index.get(UNKNOWN)

    @cached_property
    def _final(self) -> np.ndarray:
        """int32: the vocabulary's id of each id of the bpe model, which has no end token."""
        return np.array([self.vocab.index[name] for name in bpe.names(self.model)], np.int32)

    @cached_property
    def _bytes(self) -> list[bytes]:
        return [w.encode() if w == self.end_token else bpe.as_bytes(w) for w in self.vocab.words]

    def encode(self, text: str) -> np.ndarray:
        """Token ids of one document, int32 [T], without the end token.

        Words outside the vocabulary are dropped with `unknown='drop'`, otherwise they become `<unk>`. UserError: such a
        word, and the vocabulary has no `<unk>`.
        """
        if self.kind == "bpe":
            text = text.lower() if self.lowercase else text
            return self._final[bpe.joined(bpe.encode(self.model, [text]))]
        words = self._words(text)
        ids = np.fromiter((self.vocab.index.get(w, -1) for w in words), np.int32, len(words))
        outside = ids < 0
        if self.unknown == "drop":
            return ids[~outside]
        if outside.any():
            if self.unknown_id is None:
                word = words[int(outside.argmax())]
                raise UserError(f"{word!r} is not in the vocabulary; build the corpus with data.unknown=keep or drop")
            ids[outside] = self.unknown_id
        return ids

    def _words(self, text: str) -> list[str]:
        if self.kind == "characters":
            return list(text.lower() if self.lowercase else text)
        return words_of(text, self.kind, self.lowercase)

    def outside(self, text: str) -> list[str]:
        """Words of the text outside the vocabulary, each once, in their order; none for bpe."""
        words = [] if self.kind == "bpe" else self._words(text)
        return [w for w in dict.fromkeys(words) if w not in self.vocab.index]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids: words joined by blanks, characters and bytes by nothing.

        For characters and bpe `decode(encode(text)) == text` where `lowercase` is off and no character is unknown.
        Bytes that are not UTF-8 become U+FFFD.
        """
        if self.kind == "bpe":
            return b"".join(self._bytes[int(i)] for i in ids).decode("utf-8", "replace")
        return ("" if self.kind == "characters" else " ").join(self.vocab.words[int(i)] for i in ids)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        r"""Each token as printable text without white space (`\n`, `\x20`, `bpe.shown`), distinct for every token."""
        return [self._shown(self.vocab.words[int(i)]) for i in ids]

    def _shown(self, word: str) -> str:
        return bpe.shown(word) if self.kind == "bpe" and word != self.end_token else escape(word)

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json` (rules, any bpe model) and `vocab.txt` (`pieces` and counts), both whole."""
        folder.mkdir(parents=True, exist_ok=True)
        self.vocab.save(folder / "vocab.txt", self._shown)
        entry = {"format": SHOWN if self.kind == "bpe" else FORMAT} | {name: getattr(self, name) for name in _RULES}
        entry |= {"vocab": _digest(folder / "vocab.txt"), "model": bpe.to_json(self.model)}
        write_text(folder / "tokenizer.json", json.dumps(entry, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokeniser that `save` wrote. UserError: a file is missing or damaged, or the two do not match."""
        path, words = folder / "tokenizer.json", folder / "vocab.txt"
        for file in (path, words):
            if not file.is_file():
                raise UserError(f"{file}: no such file; name a folder that a tokeniser was saved to")
        try:
            entry = parse_json(path.read_text(encoding="utf-8"))
            if entry["format"] not in (FORMAT, SHOWN):
                known = f"{FORMAT} and {SHOWN} are known"
                raise UserError(f"{path}: format {entry['format']!r}, where {known}; make it again")
            if entry["vocab"] != _digest(words):
                raise UserError(f"{words}: damaged, or of another tokeniser than tokenizer.json; make both again")
            model, end, plain = bpe.from_json(entry["model"]), entry["end_token"], entry["format"] == FORMAT
            vocab = Vocabulary.load(
                words, lambda word: unescape(word) if plain or word == escape(end) else bpe.from_shown(word)
            )
            rules = {name: entry[name] for name in _RULES}
            # The same values and types as in a config.
            DataConfig(tokens=rules["kind"], unknown=rules["unknown"], end_token=end, max_vocab=257)
            if not isinstance(rules["lowercase"], bool):
                raise ValueError(f"lowercase {rules['lowercase']!r}")
            found = cls(**rules, vocab=vocab, model=model)
            if (found.kind == "bpe") != (model is not None):
                raise ValueError(f"kind {found.kind!r} with a model of another")
            _ = found.end_id, found._final if model is not None else None  # KeyError where the vocabulary lacks them
            return found
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise UserError(f"{path}: damaged ({type(e).__name__}: {e}); make it again") from None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
