"""How text is cut into words, by the rules `tokens`, `lowercase`, `normalise` and `digits` of `DataConfig`.

words: a letter of any script, and the letters and marks that follow it. An apostrophe (' or U+2019), a zero-width
    joiner or a zero-width non-joiner between two letters belongs to the word: *don't*, *l'eau*. Everything else is left
    out; digits count as letters with digits='keep'.
letters: every run of `[a-z]` of the lower-cased text (`[a-zA-Z]` with lowercase=False), the rule of text8. It is for
    English: it cuts other Latin words at accents and drops other scripts.
punctuation: words as above, in which digits count as letters; every other character, the underscore too, is a token of
    its own.
whitespace: `str.split`.
python:MODULE:FUNCTION, json:FILE: a tokeniser from outside, see `w2v_jax.data.own`. It gets each document, folded to
    lower case where that is on, without any normal form unless `normalise` names one.

Under `words` and `punctuation` the soft hyphen, which only says where a line may break, is taken out of words first,
and counted as a character in no word. No rule finds words where a script writes no blanks between them (Chinese,
Japanese, Thai): a run of letters is one word there.
"""

from __future__ import annotations

import functools
import string
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.config import own_tokens

SOFT_HYPHEN = "\u00ad"
_WITHOUT_HYPHENS = ("words", "punctuation")
JOINERS = "'\u2019\u200c\u200d"  # apostrophes, and the zero-width non-joiner and joiner
# The only two characters outside ASCII whose lower-case form holds an ASCII letter (a test tries all of Unicode).
_KELVIN, _DOTTED_I = "\u212a", "\u0130"
_BLANK = ord(" ")
_BLANKS = string.whitespace.encode() + b"\0"

# What is asked of a character, as bits. Z is all white space; OTHER is what is no letter, mark, digit or white space.
# SUSPECT: text with such a character may not be in a normal form. FOLDED: its lower case is not one character, or
# depends on its place. Every character has one of the first five, so 0 is one that was not met yet.
L, M, N, OTHER, Z, JOINER, SUSPECT, FOLDED = (1 << i for i in range(8))
# Han, Hiragana, Katakana, Thai, Lao, Khmer and Myanmar, which write no blanks between words: first and last character.
_BLANKLESS = [("\u0e01", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff"), ("\u2e80", "\u2fdf")]
_BLANKLESS += [("\u3005", "\u3007"), ("\u3041", "\u30ff"), ("\u31f0", "\u31ff"), ("\u3400", "\u4dbf")]
_BLANKLESS += [("\u4e00", "\u9fff"), ("\uaa60", "\uaa7f"), ("\uf900", "\ufaff"), ("\uff66", "\uff9d")]
_BLANKLESS += [("\U00020000", "\U0003ffff")]
# The first letter of Unicode's general category, and its name in reports.
NAMES = {"L": "letters", "M": "marks", "N": "digits", "P": "punctuation", "S": "symbols", "C": "other characters"}
_BITS = {"L": L, "M": M, "N": N}
# Filled in as characters are met: asking for all of them takes a second.
_bits, _kind = np.zeros(0x110000, np.uint8), np.zeros(0x110000, np.uint8)
_lower = np.arange(0x110000, dtype=np.uint32)


class Rules(NamedTuple):
    """The entries of `DataConfig` that say what the words of a text are."""

    tokens: str
    lowercase: bool
    normalise: str = "auto"
    digits: str = "drop"
    kept: str = ""  # content of the file of json:, where a run has kept it; not in a config

    @classmethod
    def of(cls, cfg: Any) -> Rules:
        """Those of a `DataConfig`."""
        return cls(cfg.tokens, cfg.lowercase, cfg.normalise, cfg.digits)

    @property
    def form(self) -> str:
        """Unicode's normal form of the text: NFC, NFKC, or '' for the text as it is.

        'auto' is NFC where the text is cut into words; letters, characters and byte pairs are taken from it as it is.
        """
        auto = "nfc" if self.tokens in ("words", "punctuation", "whitespace") else "none"
        form = auto if self.normalise == "auto" else self.normalise
        return "" if form == "none" else form.upper()


def prepared(text: str, rules: Rules) -> str:
    """The text that is cut: normalised, folded to lower case, without soft hyphens where words are cut by letters."""
    if rules.tokens == "letters":  # folds case itself
        return text.replace(_KELVIN, "k").replace(_DOTTED_I, "i\u0307") if rules.lowercase else text
    if text.isascii():
        return text.lower() if rules.lowercase else text
    codes, encoding = codes_of(text)
    bits = bits_of(codes)
    changed = bool(rules.form) and bool((bits & SUSPECT).any())
    if changed:
        text = unicodedata.normalize(rules.form, text)  # type: ignore[arg-type]  # it is one of their names
    if SOFT_HYPHEN in text and rules.tokens in _WITHOUT_HYPHENS:
        text, changed = text.replace(SOFT_HYPHEN, ""), True
    if not rules.lowercase:
        return text
    return folded(text) if changed else _folded(text, codes, encoding, bits)


def kinds_met(text: str | bytes, whole: str, rules: Rules) -> dict[str, int]:
    """`of_kinds` of a text as `prepared` gives it (`text`, or its UTF-8), and of the soft hyphens that this took out of
    `whole`, the text itself."""
    found = of_kinds(text)
    found["C"] += whole.count(SOFT_HYPHEN) if rules.tokens in _WITHOUT_HYPHENS else 0
    return found


def folded(text: str) -> str:
    """`text.lower()`, but several times as fast where the text is not ASCII."""
    if text.isascii():
        return text.lower()
    codes, encoding = codes_of(text)
    return _folded(text, codes, encoding, bits_of(codes))


def _folded(text: str, codes: np.ndarray, encoding: str, bits: np.ndarray) -> str:
    if (bits & FOLDED).any():
        return text.lower()
    return _lower[codes].astype(codes.dtype).tobytes().decode(encoding, "surrogatepass")


def cutter(rules: Rules) -> Callable[[Any], Sequence[str | bytes]]:
    """`prepared` text to words, as str or UTF-8 bytes, whichever is faster; a NUL is a word too, but of a tokeniser
    from outside, whose text has none. That of letters takes the text in UTF-8, too."""
    if rules.tokens == "letters":
        table = _letters_table(not rules.lowercase)
        return lambda text: (text if isinstance(text, bytes) else text.encode()).translate(table).split()
    if rules.tokens == "whitespace":
        return str.split
    if own_tokens(rules.tokens):
        from w2v_jax.data.own import tokens_of

        return tokens_of(rules.tokens, rules.kept)
    letters = L if rules.tokens == "words" and rules.digits == "drop" else L | N
    return lambda text: _blanked(text, letters, apart=rules.tokens == "punctuation").encode().split()


def words_of(text: str, rules: Rules) -> list[str]:
    """Words of a text; a NUL is a blank."""
    return [as_str(w) for w in cutter(rules)(prepared(text.replace("\0", " "), rules))]


def blankless(word: str) -> bool:
    """Whether a word begins with a letter of a script that writes no blanks between words. Korean does."""
    return word[:1] >= "\u0e01" and any(first <= word[0] <= last for first, last in _BLANKLESS)


def as_str(word: str | bytes) -> str:
    """A word of `cutter` as text."""
    return word.decode() if isinstance(word, bytes) else word


def codes_of(text: str) -> tuple[np.ndarray, str]:
    """(code points of a text in the narrowest of uint8, uint16 and uint32; the encoding that gave them)."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8), "latin-1"
    wide = text.encode("utf-16-le", "surrogatepass")
    if len(wide) == 2 * len(text):
        return np.frombuffer(wide, np.uint16), "utf-16-le"
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32), "utf-32-le"


def bits_of(codes: np.ndarray) -> np.ndarray:
    """The bits of each code point, uint8 of the shape of `codes`."""
    narrow = codes.astype(np.uint8)
    wide = codes > 127
    narrow[wide] = _BLANK
    found = np.frombuffer(narrow.tobytes().translate(_ascii_bits()), np.uint8)  # several times as fast as an index
    if not wide.any():
        return found
    found, beyond = found.copy(), codes[wide]
    bits = _bits[beyond]
    if not bits.all():
        for code in np.unique(beyond[bits == 0]).tolist():
            _meet(code)
        bits = _bits[beyond]
    found[wide] = bits
    return found


@functools.lru_cache(maxsize=1)
def _ascii_bits() -> bytes:
    for code in range(128):
        _meet(code)
    return _bits[:256].tobytes()


def _meet(code: int) -> None:
    """Fills in the tables for one character."""
    c = chr(code)
    kind = "Z" if c.isspace() else unicodedata.category(c)[0]
    bits = Z if kind == "Z" else _BITS.get(kind, OTHER)
    if c in JOINERS:
        bits |= JOINER
    # What a normal form would join to the character before it is a mark or, in Korean, a letter of these.
    normal = all(unicodedata.is_normalized(form, c) for form in ("NFC", "NFKC"))
    if bits & M or 0x1100 <= code <= 0x11FF or not normal:
        bits |= SUSPECT
    lower = c.lower()
    if len(lower) != 1 or c == "\u03a3":  # the capital sigma has another small letter at the end of a word
        bits |= FOLDED
    _lower[code], _kind[code], _bits[code] = ord(lower[0]), ord(kind), bits


def of_kinds(text: str | bytes) -> dict[str, int]:
    """Characters of a text, or of its UTF-8, by the first letter of their general category (`NAMES`), without white
    space and NUL."""
    data = np.frombuffer(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"), np.uint8)
    letter = ((data | 0x20) - np.uint8(ord("a"))) < 26  # of ASCII; both steps stay in uint8
    others = data[~letter & (data != _BLANK)].tobytes()  # of English a twentieth
    letters = int(np.count_nonzero(letter))
    codes, _ = codes_of(others.translate(None, _BLANKS).decode("utf-8", "surrogatepass"))
    bits_of(codes)  # meets them
    numbers = np.bincount(_kind[codes], minlength=256)
    return {kind: int(numbers[ord(kind)]) + (letters if kind == "L" else 0) for kind in NAMES}


def characters_of(words: Sequence[str], counts: np.ndarray) -> dict[str, int]:
    """The same of words, of which each occurs so often: int64 [len(words)]."""
    codes, _ = codes_of("".join(words))
    bits_of(codes)  # meets them
    kinds, each = _kind[codes], np.repeat(counts, [len(w) for w in words])
    return {kind: int(each[kinds == ord(kind)].sum()) for kind in NAMES}


def _blanked(text: str, letters: int, apart: bool) -> str:
    """The text with a blank for everything that belongs to no word; with `apart` such characters stand alone instead.

    `letters` are the bits of the characters that count as letters.
    """
    codes, encoding = codes_of(text)
    bits = bits_of(codes)
    inside = (bits & (letters | M)) != 0  # of words, so far
    mark = (bits & M) != 0
    if mark.any():  # marks belong where the last character that is none of them does
        bearer = np.maximum.accumulate(np.where(mark, -1, np.arange(len(bits))))
        inside &= ~mark | ((bearer >= 0) & inside[bearer])
    inside[1:-1] |= ((bits[1:-1] & JOINER) != 0) & inside[:-2] & ((bits[2:] & letters) != 0)
    codes = np.where((bits & Z) != 0, codes.dtype.type(_BLANK), codes)
    if apart:
        alone = ~inside & ((bits & Z) == 0)
        places = np.cumsum(1 + 2 * alone)[alone] - 2
        codes = np.repeat(codes, 1 + 2 * alone)
        codes[places - 1] = codes[places + 1] = _BLANK
    else:
        codes = np.where(inside | (codes == 0), codes, codes.dtype.type(_BLANK))
    return codes.tobytes().decode(encoding, "surrogatepass")


def _letters_table(upper: bool) -> bytes:
    """Byte map that keeps letters and NUL, folds case unless `upper`, and turns everything else into blanks."""
    table = bytearray(b" " * 256)
    table[0] = 0
    for low, up in zip(range(97, 123), range(65, 91), strict=True):
        table[low] = low
        table[up] = up if upper else low
    return bytes(table)
