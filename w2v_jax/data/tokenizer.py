"""The tokeniser of a corpus as an object of its own, so that text can be encoded and decoded without the corpus."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.config import DataConfig, own_tokens
from w2v_jax.data import bpe, own
from w2v_jax.data.phrases import Pass, applied
from w2v_jax.data.phrases import from_json as phrases_from_json
from w2v_jax.data.vocabulary import UNKNOWN, Vocabulary, escape, unescape, written
from w2v_jax.data.words import Rules, prepared, words_of
from w2v_jax.errors import UserError
from w2v_jax.files import parse_json, write_text

# Formats of the files, all of which can be read. Under ESCAPED, vocab.txt held words as people are shown them, and of
# bpe one character per byte. SHOWN is that of bpe, whose vocab.txt holds text; PLAIN that of the others, whose words
# stand there as they are (`vocabulary.written`).
ESCAPED, SHOWN, PLAIN = 1, 2, 3
_RULES = ("kind", "lowercase", "unknown", "end_token")


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text to token ids and back, exactly as `build_corpus` did it. An id is the token's position in `vocab`."""

    kind: str  # `data.tokens`
    lowercase: bool  # this and the next two as in `DataConfig`
    unknown: str
    end_token: str
    vocab: Vocabulary  # words, characters, or the byte-level strings of bpe
    model: Any = None  # bpe only: the `tokenizers.Tokenizer`
    normalise: str = "auto"  # this and the next as in `DataConfig`
    digits: str = "drop"
    phrases: tuple[Pass, ...] = ()  # the pairs that each pass joins, see `w2v_jax.data.phrases`
    own: str = ""  # digest of a tokeniser from outside (`w2v_jax.data.own`)
    kept: str = ""  # content of the file of json:; '' for other tokens, and in what versions before 2026-12 wrote

    @classmethod
    def of(cls, cfg: DataConfig, vocab: Vocabulary, model: Any, phrases: tuple[Pass, ...] = ()) -> Tokenizer:
        """The tokeniser by the rules of `cfg`."""
        rules = (cfg.tokens, cfg.lowercase, cfg.unknown, cfg.end_token)
        if not own_tokens(cfg.tokens):
            return cls(*rules, vocab, model, cfg.normalise, cfg.digits, phrases)
        kept = own.content_of(cfg.tokens)
        digest = own.digest_of(cfg.tokens, kept)
        return cls(*rules, vocab, model, cfg.normalise, cfg.digits, phrases, digest, kept)

    @property
    def rules(self) -> Rules:
        """How text is cut."""
        return Rules(self.kind, self.lowercase, self.normalise, self.digits, self.kept)

    @property
    def _later(self) -> dict[str, Any]:
        """Rules that older files do not have, where they are not at their defaults."""
        later = {"normalise": self.normalise, "digits": self.digits}
        found: dict[str, Any] = {name: value for name, value in later.items() if value != getattr(DataConfig, name)}
        given = {"phrases": self.phrases, "own": self.own}
        return found | {name: value for name, value in given.items() if value}

    @property
    def size(self) -> int:
        return len(self.vocab)

    @property
    def words(self) -> tuple[str, ...]:
        return self.vocab.words

    @cached_property
    def digest(self) -> str:
        """Digest of rules and tokens without their counts: equal where every text gets the same ids."""
        rules = [getattr(self, name) for name in _RULES] + [self.vocab.words, *self._later.items()]
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

    def encode(self, text: str | Sequence[str]) -> np.ndarray:
        """Token ids of one document, int32 [T], without the end token. Of a list of words phrases are joined.

        Words outside the vocabulary are dropped with `unknown='drop'`, otherwise they become `<unk>`. UserError: such a
        word, and the vocabulary has no `<unk>`.
        """
        return self.encode_counted(text)[0]

    def encode_counted(self, text: str | Sequence[str]) -> tuple[np.ndarray, int]:
        """(`encode`, the number of words outside the vocabulary)."""
        if self.kind == "bpe" and isinstance(text, str):
            return self._final[bpe.joined(bpe.encode(self.model, [prepared(text, self.rules)]))], 0
        return self.encode_words(self._words(text))

    def encode_words(self, words: Sequence[str]) -> tuple[np.ndarray, int]:
        """`encode_counted` of a text that is cut into `words` (not for bpe) as this tokeniser cuts."""
        ids = np.fromiter((self.vocab.index.get(w, -1) for w in words), np.int32, len(words))
        outside = ids < 0
        if self.unknown == "drop":
            return ids[~outside], int(outside.sum())
        if outside.any():
            if self.unknown_id is None:
                word = words[int(outside.argmax())]
                raise UserError(f"{word!r} is not in the vocabulary; build the corpus with data.unknown=keep or drop")
            ids[outside] = self.unknown_id
        return ids, int(outside.sum())

    def _words(self, text: str | Sequence[str]) -> list[str]:
        if not isinstance(text, str):
            return applied(text, self._joins)
        if self.kind == "characters":
            return list(prepared(text, self.rules))
        return applied(words_of(text, self.rules), self._joins)

    @cached_property
    def _joins(self) -> list[frozenset[tuple[str, str]]]:
        return [frozenset(pairs) for pairs in self.phrases]

    def outside(self, text: str | Sequence[str]) -> list[str]:
        """Words of the text outside the vocabulary, each once, in their order; none for bpe."""
        words = [] if self.kind == "bpe" and isinstance(text, str) else self._words(text)
        return [w for w in dict.fromkeys(words) if w not in self.vocab.index]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids: words joined by blanks, characters and bytes by nothing.

        For characters and bpe `decode(encode(text)) == text` where `lowercase` and `normalise` are off and no character
        is unknown.
        Bytes that are not UTF-8 become U+FFFD.
        """
        if self.kind == "bpe":
            return b"".join(self._bytes[int(i)] for i in ids).decode("utf-8", "replace")
        return ("" if self.kind == "characters" else " ").join(self.vocab.words[int(i)] for i in ids)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        r"""Each token as printable text without white space (`\n`, `\x20`, `bpe.shown`), distinct for every token."""
        return [self._shown(self.vocab.words[int(i)]) for i in ids]

    def names(self) -> list[str]:
        """Each token as it stands in `vocab.txt` and in files of vectors: without white space, otherwise unchanged."""
        return [self._name(word) for word in self.vocab.words]

    def _name(self, word: str) -> str:
        return self._shown(word) if self.kind == "bpe" else written(word)

    def _shown(self, word: str) -> str:
        return bpe.shown(word) if self.kind == "bpe" and word != self.end_token else escape(word)

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json` (rules, any bpe model or file of json:) and `vocab.txt` (`names` and counts), both
        whole."""
        folder.mkdir(parents=True, exist_ok=True)
        self.vocab.save(folder / "vocab.txt", self._name)
        entry = {"format": SHOWN if self.kind == "bpe" else PLAIN} | {name: getattr(self, name) for name in _RULES}
        entry |= self._later | ({"kept": self.kept} if self.kept else {})
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
            if entry["format"] not in (ESCAPED, SHOWN, PLAIN):
                known = f"{ESCAPED} to {PLAIN} are known"
                raise UserError(f"{path}: format {entry['format']!r}, where {known}; make it again")
            if entry["vocab"] != _digest(words):
                raise UserError(f"{words}: damaged, or of another tokeniser than tokenizer.json; make both again")
            model = bpe.from_json(entry["model"])
            vocab = Vocabulary.load(words, _reader(entry["format"], entry["kind"], entry["end_token"]))
            rules = {name: entry[name] for name in _RULES}
            later = {name: entry[name] for name in ("normalise", "digits") if name in entry}
            # The same values and types as in a config.
            cut = {"tokens": rules["kind"], "unknown": rules["unknown"], "end_token": rules["end_token"], **later}
            DataConfig(**cut, max_vocab=257)
            later |= {"phrases": phrases_from_json(entry.get("phrases", ()))}
            later |= {name: str(entry.get(name, "")) for name in ("own", "kept")}
            _check_own(path, rules["kind"], later["own"], later["kept"])
            if not isinstance(rules["lowercase"], bool):
                raise ValueError(f"lowercase {rules['lowercase']!r}")
            found = cls(**rules, vocab=vocab, model=model, **later)
            if (found.kind == "bpe") != (model is not None):
                raise ValueError(f"kind {found.kind!r} with a model of another")
            _ = found.end_id, found._final if model is not None else None  # KeyError where the vocabulary lacks them
            return found
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise UserError(f"{path}: damaged ({type(e).__name__}: {e}); make it again") from None


def _reader(format: int, kind: str, end: str) -> Callable[[str], str]:
    """The word of a name in `vocab.txt`."""
    if format == SHOWN:
        return lambda name: unescape(name) if name == escape(end) else bpe.from_shown(name)
    if format == ESCAPED:
        return unescape
    # Only characters can be white space, and only then has a name more than one.
    return lambda name: unescape(name) if kind == "characters" and len(name) > 1 and name != end else name


def _check_own(path: Path, kind: str, digest: str, kept: str) -> None:
    """UserError: a tokeniser from outside is not there, or has changed since `digest` was made of it. ValueError: its
    content that was kept has."""
    if not digest:
        return
    try:
        same = own.digest_of(kind, kept) == digest
    except UserError as e:
        where = f" (looked for as {own.place_of(kind)})" if kind.startswith("json:") else ""
        raise UserError(f"{path}: the tokeniser of the run is missing{where}: {e}") from None
    if kept and not same:
        raise ValueError("kept is not what own was made of")
    if not same:
        raise UserError(f"{path}: data.tokens={kind} has changed since the text was cut by it; restore it")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
