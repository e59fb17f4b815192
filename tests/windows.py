"""Window samples written out one by one: exact, slow, for teaching and as the yardstick of the batched form."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

Word = TypeVar("Word", bound=Hashable)


def clean(text: str, stop: Iterable[str] = ()) -> list[str]:
    """Lower-cased words of a sentence for a worked example: possessive *'s* and the words of `stop` are left out."""
    left_out = frozenset(stop)
    words = re.findall("[a-z]+", re.sub(r"['\u2019]s\b", "", text.lower()))
    return [w for w in words if w not in left_out]


def _neighbours(tokens: Sequence[Word], i: int, window: int) -> tuple[Word, ...]:
    if window < 1:
        raise ValueError(f"window={window}: must be at least 1")
    return (*tokens[max(0, i - window) : i], *tokens[i + 1 : i + 1 + window])


def skipgram_pairs(tokens: Sequence[Word], window: int) -> list[tuple[Word, Word]]:
    """All (centre, context) pairs with 0 < |i - j| <= window, by centre, contexts from left to right.

    Raises:
      ValueError: `window` below 1.
    """
    return [(tokens[i], c) for i in range(len(tokens)) for c in _neighbours(tokens, i, window)]


def cbow_samples(tokens: Sequence[Word], window: int) -> list[tuple[tuple[Word, ...], Word]]:
    """One (contexts, centre) sample a token, contexts from left to right; a token without neighbours gives none.

    Raises:
      ValueError: `window` below 1.
    """
    samples = ((_neighbours(tokens, i, window), tokens[i]) for i in range(len(tokens)))
    return [(contexts, centre) for contexts, centre in samples if contexts]


def ngrams(tokens: Sequence[Word], n: int) -> list[tuple[Word, ...]]:
    """The len(tokens) - n + 1 runs of `n` consecutive tokens; none when the text is shorter.

    Raises:
      ValueError: `n` below 1.
    """
    if n < 1:
        raise ValueError(f"n={n}: must be at least 1")
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
