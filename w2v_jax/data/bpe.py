"""Byte-level byte-pair encoding, by the `tokenizers` library.

Text is cut into pieces as for GPT-2 (contractions, an optional blank and a run of letters, of digits or of marks, white
space). Within a piece, training merges the most frequent pairs of tokens, beginning with single bytes, so that every
text can be encoded. The library writes one printable character per byte: a blank is a dotted G, a letter beyond ASCII
two other characters. People see `shown(token)` instead.

Sennrich, Haddow & Birch 2016 (arXiv 1508.07909); Radford et al. 2019, section 2.2, for the bytes and the pieces.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from w2v_jax.data.vocabulary import escape, unescape

# Longer words are cut for training, which takes the length of a word times the number of merges for each of them.
LONGEST_WORD = 4096
BLANK = "\u2581"  # what a blank is shown as: a low line, as SentencePiece has it
_SIGNS = {" ": BLANK, BLANK: r"\u2581", "<": r"\x3c"}
_SPECIAL = re.compile(f"( |{BLANK}|<(?=0x)|[\udc80-\udcff])")  # the last: bytes that are not UTF-8, as Python decodes
_LONG = re.compile(rf"(?<!\S)\S{{{LONGEST_WORD + 1},}}")
_BYTE = re.compile("<0x([89A-F][0-9A-F])>")


def train(texts: Iterable[str], size: int) -> Any:
    """A `tokenizers.Tokenizer` of `size` (at least 256) tokens, fewer where the text has no more pairs; deterministic.

    `texts` are pieces of documents, cut before white space, and are read once. Words of more than `LONGEST_WORD`
    characters go through `cut_words`.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
    model.train_from_iterator(texts, trainer)
    return model


def cut_words(text: str) -> tuple[list[str], int]:
    """(the text in parts, in which no word has more than `LONGEST_WORD` characters; number of words that were cut)."""
    if len(text) <= LONGEST_WORD or max(map(len, text.split()), default=0) <= LONGEST_WORD:
        return [text], 0
    words = list(_LONG.finditer(text))
    cuts = [at for word in words for at in range(word.start() + LONGEST_WORD, word.end(), LONGEST_WORD)]
    return [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])], len(words)


def names(model: Any) -> list[str]:
    """The tokens by id."""
    return [model.id_to_token(i) for i in range(model.get_vocab_size())]


def encode(model: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text."""
    return [e.ids for e in model.encode_batch_fast(texts, add_special_tokens=False)]


@lru_cache(maxsize=1)
def byte_of() -> dict[str, int]:
    """The byte that each printable character of a token stands for, as GPT-2's `bytes_to_unicode` has it.

    Bytes that are visible in Latin-1 stand for themselves; the others, in order, for U+0100 and on.
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(visible))
    return {chr(b): b for b in visible} | {chr(0x100 + i): b for i, b in enumerate(others)}


@lru_cache(maxsize=1)
def _character_of() -> dict[int, str]:
    return {byte: character for character, byte in byte_of().items()}


def as_bytes(token: str) -> bytes:
    """The bytes of a token."""
    return bytes(map(byte_of().__getitem__, token))


def shown(token: str) -> str:
    r"""A token as distinct text without white space: `BLANK` for a blank, <0xC3> for a byte that is not UTF-8.

    `vocabulary.escape` writes what cannot be printed, a `BLANK` of the text itself and the first character of what only
    looks like a byte: `\n`, `\u2581`, `\x3c`.
    """
    parts = _SPECIAL.split(as_bytes(token).decode("utf-8", "surrogateescape"))  # text and special signs in turn
    signs = (_SIGNS.get(sign) or f"<0x{ord(sign) - 0xDC00:02X}>" for sign in parts[1::2])
    return escape(parts[0]) + "".join(sign + escape(text) for sign, text in zip(signs, parts[2::2], strict=True))


def from_shown(text: str) -> str:
    """The token that `shown` wrote as `text`. Raises ValueError for any other text."""
    parts = _BYTE.split(text)  # text and bytes in turn
    parts[::2] = (unescape(part.replace(BLANK, " ")) for part in parts[::2])
    parts[1::2] = (chr(0xDC00 + int(byte, 16)) for byte in parts[1::2])
    return "".join(map(_character_of().__getitem__, "".join(parts).encode("utf-8", "surrogateescape")))


def all_shown(words: Sequence[str]) -> Sequence[str]:
    """A vocabulary with its byte pairs as `shown`; as it is where it has none. One with byte pairs has every byte."""
    characters = byte_of().keys()
    return [shown(w) if characters >= set(w) else w for w in words] if characters <= set(words) else words


def word_bounds(words: Sequence[str]) -> np.ndarray:
    """Which tokens of a vocabulary begin a word, int32 [V]: 0 goes on with one, 1 begins one, 2 is a word by itself.

    Of byte pairs those that begin with a letter, a digit or a part of a character go on; blanks and marks begin a word.
    White space alone stands by itself, and so does an end token of marks and letters such as <eos>, which no byte pairs
    join but those of a contraction. Tokens of any other vocabulary are words.
    """
    characters = byte_of().keys()
    if not characters <= set(words):
        return np.full(len(words), 2, np.int32)
    out = np.full(len(words), 2, np.int32)
    for i, word in enumerate(words):
        text = as_bytes(word) if characters >= set(word) else b""
        letters = [byte >= 0x80 or chr(byte).isalnum() for byte in text]
        if text.strip() and (letters[0] or text[:1] in b" '" or not any(letters)):
            out[i] = 0 if letters[0] else 1
    return out


def to_json(model: Any) -> Any:
    """The model as JSON values; None for None."""
    return None if model is None else json.loads(model.to_str())


def from_json(entry: Any) -> Any:
    """The inverse of `to_json`. Raises ValueError for anything else."""
    from tokenizers import Tokenizer

    try:
        return None if entry is None else Tokenizer.from_str(json.dumps(entry))
    except Exception as e:  # the library raises Exception itself
        raise ValueError(str(e)) from None


def joined(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """int64: the rows end to end."""
    return np.fromiter(chain.from_iterable(rows), np.int64, sum(map(len, rows)))
