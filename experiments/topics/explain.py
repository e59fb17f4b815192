"""The worked examples of counting words, from counts to two latent numbers: computed, not quoted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from w2v_jax.data import weighting
from w2v_jax.data.words import Rules, words_of
from w2v_jax.tables import aligned

ANIMALS = ("dog", "cat", "feline", "canine", "pet")
BOOK = "The dog met a cat. The dog became her pet."
NOT_GOOD, GOOD = "This movie was not good", "This movie was good, not terrible"
CHASED = ("The cat chased the dog", "The dog chased the cat")
SIZES = ((10, 1), (200, 1))
# The notes' latent numbers of the book: its catness and its dogness.
CLAIMED = (1.9, 1.5)


class Bags(NamedTuple):
    """Texts as counts."""

    words: tuple[str, ...]
    counts: np.ndarray  # int64 [N, V]


def bags(texts: tuple[str, ...], words: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> Bags:
    """The counts of `words` in each text; of all its words, in the order of their appearance, by default."""
    rules = Rules("words", True, "auto", "drop")
    cut = [words_of(text.lower(), rules) for text in texts]
    names = words or tuple(dict.fromkeys(w for text in cut for w in text if w not in without))
    return Bags(names, np.array([[text.count(name) for name in names] for text in cut]))


def cosine(rows: np.ndarray) -> float:
    """Of two rows of counts."""
    unit = weighting.unit(sp.csr_matrix(rows)).toarray().astype(np.float64)
    return float(unit[0] @ unit[1])


def shares(rows: np.ndarray) -> np.ndarray:
    """Each row as shares of its sum."""
    return weighting.shares(sp.csr_matrix(rows)).toarray()


def latent(counts: np.ndarray, pet: float) -> np.ndarray:
    """(catness, dogness) of counts of ANIMALS, `pet` being the part of *pet* that goes to catness: cats count for the
    first number and dogs for the second, so that both add up to the sum of the counts."""
    split = np.array([[0, 1], [1, 0], [1, 0], [0, 1], [pet, 1 - pet]])
    return counts @ split


def text() -> str:
    """All examples as small tables."""
    return "\n\n".join([*_counts(), *_shares(), *_latent()])


def _counts() -> list[str]:
    book = bags((BOOK,), ANIMALS)
    rows = [["", *book.words], [repr(BOOK), *map(str, book.counts[0])]]
    films = bags((NOT_GOOD, GOOD))
    table = [["", *films.words]]
    table += [[repr(t), *map(str, c)] for t, c in zip((NOT_GOOD, GOOD), films.counts, strict=True)]
    apart = cosine(bags(("the price", "the cost"), without=("the",)).counts)
    return [
        "1. Bag of words: a text is the counts of its words.",
        aligned(rows),
        aligned(table),
        f"Cosine of the two reviews: {cosine(films.counts):.4f}. They say the opposite and differ by one word.\n"
        f"Cosine of 'price' and 'cost': {apart:.4f}. They mean the same and share no word.",
    ]


def _shares() -> list[str]:
    rows = [["counts", "shares"]]
    both = np.array(SIZES)
    rows += [[str(tuple(c)), _numbers(s, 3)] for c, s in zip(SIZES, shares(both), strict=True)]
    found = [["", "words", *CHASED]]
    for without in ((), ("the",)):
        chased = bags(CHASED, without=without)
        name = "without 'the'" if without else "with 'the'"
        found.append([name, " ".join(chased.words), *(_numbers(s, 3) for s in shares(chased.counts))])
    return [
        "2. Normalised counts: shares take the length of a text away.",
        aligned(rows),
        f"Cosine of both rows: {cosine(both):.5f}.",
        aligned(found, left=(0, 1)),
        "Both sentences have the same shares: the order of the words is lost.",
    ]


def _latent() -> list[str]:
    counts = bags((BOOK,), ANIMALS).counts[0]
    rows = [["part of 'pet' that goes to catness", "catness", "dogness", "sum"]]
    for pet in (0.0, 0.5, 1.0):
        both = latent(counts, pet)
        rows.append([f"{pet:.1f}", *(f"{n:.1f}" for n in both), f"{both.sum():.1f}"])
    rows.append(["the notes say", *(f"{n:.1f}" for n in CLAIMED), f"{sum(CLAIMED):.1f}"])
    return [
        f"3. Latent numbers: five counts {tuple(counts.tolist())} become two.",
        aligned(rows),
        f"However the counts are split, the two numbers add up to {counts.sum()}: the notes' {CLAIMED} add up to "
        f"{sum(CLAIMED):.1f}\nand come from no such split. An equal split of 'pet' gives "
        f"{_numbers(latent(counts, 0.5), 1)}.",
    ]


def _numbers(row: np.ndarray, digits: int) -> str:
    return f"({', '.join(f'{n:.{digits}f}' for n in row)})"
