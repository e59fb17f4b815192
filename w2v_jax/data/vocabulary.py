"""How text is cut into words, and the vocabulary that counts them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.files import write_text

UNKNOWN = "<unk>"

# Words are runs of letters and digits with their combining accents and inner apostrophes; any other mark stands alone.
# An underscore counts as a mark: it is set apart before this pattern, which would take it for a letter, sees it.
_PUNCTUATION = re.compile("[\\w\u0300-\u036f]+(?:['\u2019][\\w\u0300-\u036f]+)*|[^\\w\\s]")
# The only two characters outside ASCII whose lower-case form holds an ASCII letter (a test tries all of Unicode).
_KELVIN, _DOTTED_I = "\u212a", "\u0130"


def _letters_table(upper: bool) -> bytes:
    """Byte map that keeps letters and NUL, folds case unless `upper`, and turns everything else into blanks."""
    table = bytearray(b" " * 256)
    table[0] = 0
    for low, up in zip(range(97, 123), range(65, 91), strict=True):
        table[low] = low
        table[up] = up if upper else low
    return bytes(table)


def splitter(tokens: str, lowercase: bool) -> Callable[[str], Sequence[str | bytes]]:
    """Text to words by the rules of `words_of`, as str or UTF-8 bytes, whichever is faster; a NUL is a word too.

    For `letters` it is exactly `re.findall('[a-z]+', text.lower())`, but several times as fast, on bytes.
    """
    if tokens == "letters":
        table = _letters_table(not lowercase)

        def letters(text: str) -> list[bytes]:
            if lowercase:
                text = text.replace(_KELVIN, "k").replace(_DOTTED_I, "i\u0307")
            return text.encode().translate(table).split()

        return letters
    fold: Callable[[str], str] = str.lower if lowercase else str
    if tokens == "whitespace":
        return lambda text: fold(text).split()
    return lambda text: _PUNCTUATION.findall(fold(text).replace("_", " _ "))


def as_str(word: str | bytes) -> str:
    """A word of `splitter` as text."""
    return word.decode() if isinstance(word, bytes) else word


def words_of(text: str, tokens: str, lowercase: bool) -> list[str]:
    """Words of `text` under the rules `data.tokens` and `data.lowercase`; a NUL is a blank.

    letters: every run of `[a-z]` of the lower-cased text (`[a-zA-Z]` with lowercase=False).
    punctuation: words (letters with accents, digits, inner apostrophes: *don't*) and single marks.
    whitespace: `str.split`.
    """
    return [as_str(w) for w in splitter(tokens, lowercase)(text.replace("\0", " "))]


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


def escape(word: str) -> str:
    r"""A word without white space and control characters: these become \n, \r, \t, \x20, \u200b; a backslash \\."""
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

    def save(self, path: Path, write: Callable[[str], str] = escape) -> None:
        """Writes `write(word)<TAB>count` lines, UTF-8, whole or not at all."""
        rows = zip(map(write, self.words), self.counts.tolist(), strict=True)
        write_text(path, "".join(f"{word}\t{count}\n" for word, count in rows))

    @classmethod
    def load(cls, path: Path, read: Callable[[str], str] = unescape) -> Vocabulary:
        """The vocabulary of a file of `save`; `read` is the inverse of its `write`.

        UserError: a line that is not `word<TAB>count`, a word that occurs twice, no word at all.
        """
        words: dict[str, int] = {}
        with open(path, encoding="utf-8", newline="\n") as f:
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
