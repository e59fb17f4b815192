"""The text for looking into a model, and the places of two of its words."""

from __future__ import annotations

import re
import sys

import numpy as np

from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import UNKNOWN
from w2v_jax.errors import UserError

TEXT = "The dog that I adopted from the pound five years ago won the pet competition"
WORD, UNTIL = "dog", "won"


def find_span(tokenizer: Tokenizer, text: str, flag: str, word: str, after: int = 0) -> tuple[int, int, int]:
    """(first token, last token, end in the text) of a word's first occurrence after place `after` of the text.
    UserError: there is none, or the tokeniser drops it."""
    match = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE).search(text, after)
    if match is None:
        raise UserError(f"--{flag}={word}: no such word in --text" + (" after the other" if after else ""))
    start, end = match.span()
    if tokenizer.kind == "whitespace":  # marks that touch the word are part of its token
        start = len(re.sub(r"\S+$", "", text[:start]))
        end += len(text[end:]) - len(re.sub(r"^\S+", "", text[end:]))
    # Every tokeniser cuts between words, so that the tokens of a text up to there are the first tokens of the whole.
    first, stop = (len(tokenizer.encode(part)) for part in (text[:start].rstrip(), text[:end]))
    ids = tokenizer.encode(text)
    while first < stop and not tokenizer.decode(ids[first : first + 1]).strip():
        first += 1
    if first >= stop:
        raise UserError(f"--{flag}={word}: is not in the model's vocabulary")
    return first, stop - 1, end


def called(tokenizer: Tokenizer, word: str, ids: np.ndarray) -> str:
    """The word as reports name it, of which the model read the tokens `ids`: with a note where that was <unk>."""
    return f"{word} ({UNKNOWN})" if tokenizer.unknown_id in ids and word != UNKNOWN else word


def tell_outside(tokenizer: Tokenizer, text: str) -> None:
    """Prints a note on the words of the text that the model does not know, where there are any."""
    for note in notes_on(tokenizer, text):
        print(note, file=sys.stderr)


def notes_on(tokenizer: Tokenizer, text: str, most: int | None = None, flag: str = "") -> list[str]:
    """Lines on what of the text of a flag is not read as it stands: words that the model does not know, and those after
    the first `most`."""
    of_text, found = f"--{flag}: " if flag else "", []
    if strange := tokenizer.outside(text):
        become = "left out" if tokenizer.unknown == "drop" else f"read as {UNKNOWN}"
        found.append(f"note: {of_text}not in the vocabulary, {become}: {', '.join(strange)}")
    if most is not None and (count := len(tokenizer.encode(text))) > most:
        found.append(
            f"note: {of_text}the model reads {most:,} words at most; {count - most:,} of {count:,} are cut off"
        )
    return found


def encode(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """Token ids, int32 [T]. UserError: an empty text, no known word, or one that the model refuses."""
    if not text.strip():
        raise UserError("--text is empty: give a sentence")
    try:
        ids = tokenizer.encode(text)
    except UserError as e:
        raise UserError(f"--text: {e}") from None
    if not len(ids):
        raise UserError(f"--text={text!r}: no word of it is in the model's vocabulary")
    return ids


def words_of_flags(text: str, word: str | None, until: str | None) -> tuple[str, str]:
    """The two words: the given ones, *dog* and *won* of the default text, else the first and the last."""
    found = re.findall(r"\w+", text)
    if len(found) < 2:
        raise UserError(f"--text={text!r}: needs two words at least: the one to follow, and the one where it ends")
    first, last = (WORD, UNTIL) if text.lower() == TEXT.lower() else (found[0], found[-1])
    return word or first, until or last
