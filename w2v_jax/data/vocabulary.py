"""The vocabulary: words with their counts, and how they are written into files."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.files import write_text
from w2v_jax.storage import open_read

UNKNOWN = "<unk>"

_ESCAPED = re.compile(r"\\(?:([nrt\\])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))|\\")
_COUNT = re.compile("[0-9]{1,18}")  # no more than 64 bits hold
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\\": "\\"}
_MEANT = {letter: char for char, letter in _LETTERS.items()}


def _escape_one(c: str) -> str:
    if c in _LETTERS:
        return f"\\{_LETTERS[c]}"
    if c.isprintable() and c != " ":
        return c
    code = ord(c)
    return f"\\x{code:02x}" if code < 1 << 8 else f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def written(word: str) -> str:
    r"""A word as it stands in files: as it is, but for white space, which no format can hold (\n, \x20, \u2003)."""
    return "".join(_escape_one(c) if c.isspace() else c for c in word) if any(map(str.isspace, word)) else word


def escape(word: str) -> str:
    r"""A word for people, without white space and control characters: \n, \r, \t, \x20, \u200b; a backslash is \\."""
    return word if word.isprintable() and not {" ", "\\"} & set(word) else "".join(map(_escape_one, word))


def unescape(word: str) -> str:
    """The inverse of `escape`. Raises ValueError for a backslash that it cannot have written."""

    def meant(match: re.Match[str]) -> str:
        letter, *codes = match.groups()
        if letter:
            return _MEANT[letter]
        code = next((c for c in codes if c), None)
        if code is None:
            raise ValueError(f"{word!r}: a backslash that escapes nothing")
        return chr(int(code, 16))

    return _ESCAPED.sub(meant, word) if "\\" in word else word


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words by falling count, ties by word; the position is the word's id."""

    words: tuple[str, ...]
    counts: np.ndarray  # int64 [V], over training documents

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.words),) or self.counts.dtype != np.int64:
            raise ValueError(f"counts must be int64 [{len(self.words)}], got {self.counts.dtype} {self.counts.shape}")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        return {w: i for i, w in enumerate(self.words)}

    def save(self, path: Path, write: Callable[[str], str] = written) -> None:
        """Writes `write(word)<TAB>count` lines, UTF-8, whole or not at all."""
        rows = zip(map(write, self.words), self.counts.tolist(), strict=True)
        write_text(path, "".join(f"{word}\t{count}\n" for word, count in rows))

    @classmethod
    def load(cls, path: Path, read: Callable[[str], str] = str) -> Vocabulary:
        """The vocabulary of a file of `save`; `read` is the inverse of its `write`.

        UserError: a line that is not `word<TAB>count`, a word that occurs twice, no word at all.
        """
        words: dict[str, int] = {}
        with io.TextIOWrapper(open_read(path), encoding="utf-8", newline="\n") as f:
            for number, line in enumerate(f, 1):
                word, tab, count = line.rstrip("\n").partition("\t")
                try:
                    word = read(word)
                except (ValueError, OverflowError):
                    word = ""
                if not (word and tab and _COUNT.fullmatch(count)) or word in words:
                    raise UserError(f"{path}: line {number}: not a new word, a tab and a count")
                words[word] = int(count)
        if not words:
            raise UserError(f"{path}: holds no word")
        return cls(tuple(words), np.fromiter(words.values(), np.int64, len(words)))
