"""What queries are asked with, checked: words, vectors, weights, texts. See `keyed`, `embeddings` and `averages`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from w2v_jax.errors import UserError, check_whole

if TYPE_CHECKING:
    from w2v_jax.embeddings import Embeddings

Key = str | np.ndarray  # a word, or a vector [D]
Weighted = tuple[Key, float]


def listed(words: Any) -> list[Any]:
    """UserError: no list, or one string, which would be read letter by letter."""
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise UserError(f"words={repr(words)[:60]}: must be a list of words")
    return list(words)


def texts_of(given: Any) -> list[Any]:
    """The texts of an iterable, which is read once. UserError: one text, a mapping, whose keys would be read, or no
    iterable."""
    if isinstance(given, (str, bytes)):
        raise UserError(f"texts={given[:40]!r}: is one text; give a list of texts")
    if isinstance(given, Mapping):
        raise UserError("texts is a mapping, whose keys are no text: give its .values() in a list")
    if not isinstance(given, Iterable):
        raise UserError(f"texts={repr(given)[:60]}: give a list of texts")
    return list(given)


def tokens_of(text: Any, number: int) -> list[str]:
    """The tokens of a text, number `number` of several, that is no string. UserError: it is no list of strings."""
    if isinstance(text, (bytes, Mapping)) or not isinstance(text, Iterable):
        raise UserError(f"texts[{number}]={repr(text)[:60]}: must be a string or a list of tokens")
    for token in (tokens := list(text)):
        if not isinstance(token, str):
            raise UserError(f"texts[{number}]: token {repr(token)[:60]}: must be a string")
    return tokens


def words_left_out(missing: int, total: int, first: str, why: str = "without a vector", level: int = 3) -> None:
    """Warns of words of texts that are not used, of which `first` is one; `level` calls above is the caller's line."""
    told = repr(first) if missing == 1 else f"{first!r} is the first"
    warnings.warn(f"{missing:,} of {total:,} words of the texts {why} left out: {told}", stacklevel=level)


def known(emb: Embeddings, words: Any) -> list[str]:
    """The words of a list that have a vector; a warning says how many have none. UserError: no list of strings."""
    words = listed(words)
    for word in words:
        if not isinstance(word, str):
            raise UserError(f"{emb.NAME} {repr(word)[:60]}: must be a string")
    there = [word in emb or emb.makes(word) for word in words]
    if missing := [word for word, has in zip(words, there, strict=True) if not has]:
        left_out(emb, missing, len(words), 4)
    return [word for word, has in zip(words, there, strict=True) if has]


def left_out(emb: Embeddings, missing: Sequence[str], total: int, level: int = 3) -> None:
    """Warns of words that have no vector; `level` calls above is the caller's line."""
    first = f"{missing[0]!r}" if len(missing) == 1 else f"{missing[0]!r} is the first"
    warnings.warn(f"{len(missing)} of {total} {emb.NAME}s without a vector left out: {first}", stacklevel=level)


def queries(given: Any) -> list[Any]:
    """The words and vectors of a query; None for none. UserError: it is neither a word, a vector nor several."""
    if given is None:
        return []
    if isinstance(given, np.ndarray) and given.dtype.kind in "UO" and given.ndim:
        given = given.tolist()
    if isinstance(given, str) or (isinstance(given, np.ndarray) and given.ndim == 1):
        return [given]
    if not isinstance(given, Iterable) or (isinstance(given, np.ndarray) and not given.ndim):
        raise UserError(f"query {given!r}: must be a word, a vector or a list of them")
    return list(given)


def weighed(given: Key | Sequence[Key | Weighted] | None, weight: float) -> tuple[list[Key], list[float]]:
    """The keys and their weights; those without one get `weight`."""
    try:
        pairs = [(k, float(size)) for k, size in (i if isinstance(i, tuple) else (i, weight) for i in queries(given))]
    except (TypeError, ValueError):
        raise UserError("a tuple of a query: must be (word or vector, weight), as in ('king', 0.5)") from None
    return [key for key, _ in pairs], [size for _, size in pairs]


def first_words(restrict_vocab: int | None) -> int:
    """How many words are searched, 0 for all. UserError: no whole number."""
    if restrict_vocab is not None:
        check_whole("restrict_vocab", restrict_vocab, 0, "a whole number, or None for all words")
    return restrict_vocab or 0


def numbers(weights: Any, count: int) -> np.ndarray:
    """Weights of so many words, float64. UserError: another number of them, or not all are finite numbers."""
    try:
        found = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(())
    if found.ndim != 1:
        raise UserError(f"weights={repr(weights)[:60]}: must be a list of numbers, one for each word")
    if len(found) != count:
        raise UserError(f"{len(found)} weights for {count} words: give one for each")
    if not np.isfinite(found).all():
        raise UserError("a weight of a word is a NaN or an infinity")
    return found
