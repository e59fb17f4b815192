"""The geometry of words in context: how much a vector says of its word, and how much of its text.

The measures are those of Ethayarajh 2019 (arXiv 1909.00512). u_i is the vector of occurrence i at unit length, x_i the
vector itself:

    anisotropy          mean of u_i . u_j over pairs of occurrences of any words
    self-similarity     mean over words of the mean of u_i . u_j over pairs of occurrences of the word
    intra-sentence      mean over sentences of the mean of u_i . u(mean of the x of the sentence)
    explained           mean over words of s_1^2 / sum_k s_k^2, s the singular values of the word's vectors as rows

The first three are over all pairs, by sums of vectors, and nothing is drawn. Each is also given above what vectors of
any words have: anisotropy is subtracted from the two similarities, and from `explained` that of as many occurrences of
any words. `explained` is the share of squared length that multiples of one vector keep. `centred` is the share of
variance around the mean of the word that one direction keeps, and `along` the share of variance that is along s_1's own
direction: what a truncated SVD reports as its explained variance, and far less where all vectors lie to one side.

`moved` and `turned` compare a layer with the one before: mean |x_l - x_{l-1}| / |x_{l-1}| and mean cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEAST = 5  # occurrences of a word that counts
TINY = 1e-12


class Geometry(NamedTuple):
    """One layer."""

    anisotropy: float
    self_similarity: float
    intra_sentence: float
    explained: float
    explained_random: float  # the same of as many occurrences of any words
    centred: float
    along: float
    length: float  # mean norm
    moved: float  # nan for the first layer, or where the layer before has another width
    turned: float

    @property
    def self_adjusted(self) -> float:
        """Self-similarity above anisotropy."""
        return self.self_similarity - self.anisotropy

    @property
    def intra_adjusted(self) -> float:
        """Intra-sentence similarity above anisotropy."""
        return self.intra_sentence - self.anisotropy

    @property
    def explained_adjusted(self) -> float:
        """`explained` above that of random occurrences."""
        return self.explained - self.explained_random


def unit(x: np.ndarray) -> np.ndarray:
    """Rows at length 1, float64 [N, D]; a zero row stays zero."""
    x = np.asarray(x, np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), TINY)


def mean_cosine(units: np.ndarray) -> float:
    """Mean of u_i . u_j over all pairs of different rows of unit vectors [N, D]: (|sum_i u_i|^2 - N) / N (N - 1)."""
    total, count = units.sum(0), len(units)
    return float((total @ total - np.square(units).sum()) / (count * (count - 1)))


def self_similarity(units: np.ndarray, groups: Sequence[np.ndarray]) -> float:
    """Mean over words of `mean_cosine` of their occurrences, `groups` of row numbers."""
    return float(np.mean([mean_cosine(units[rows]) for rows in groups]))


def intra_sentence(x: np.ndarray, groups: Sequence[np.ndarray]) -> float:
    """Mean over sentences (`groups` of row numbers) of the mean cosine of their words to the mean of their vectors."""
    units = unit(x)
    middle = unit(np.stack([np.asarray(x[rows], np.float64).mean(0) for rows in groups]))
    return float(np.mean([(units[rows] @ middle[i]).mean() for i, rows in enumerate(groups)]))


def explained(x: np.ndarray) -> tuple[float, float, float]:
    """(`explained`, `centred`, `along`) of the vectors of one word, [n, D] with n >= 2: nan for vectors of length 0,
    and 1 for the last two where the vectors do not differ."""
    x = np.asarray(x, np.float64)
    _, s, directions = np.linalg.svd(x, full_matrices=False)
    total = np.square(s).sum()
    if total < TINY:
        return np.nan, np.nan, np.nan
    around = x - x.mean(0)
    variance = np.square(around).sum()
    if variance < 1e-9 * total:
        return float(s[0] ** 2 / total), 1.0, 1.0
    first = np.linalg.svd(around, compute_uv=False)[0] ** 2
    return float(s[0] ** 2 / total), float(first / variance), float(np.square(around @ directions[0]).sum() / variance)


def groups_of(labels: np.ndarray, least: int, most: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Row numbers of each label with at least `least` rows, in the order of the labels; of more than `most` a random
    part. Labels below 0 are left out."""
    order = np.argsort(labels, kind="stable")
    names, starts = np.unique(labels[order], return_index=True)
    found = [rows for name, rows in zip(names, np.split(order, starts[1:]), strict=True) if name >= 0]
    kept = [rows for rows in found if len(rows) >= least]
    return [np.sort(rng.choice(rows, most, replace=False)) if len(rows) > most else rows for rows in kept]


def measure(
    layers: Sequence[np.ndarray], words: np.ndarray, sentences: np.ndarray, most: int = 100, seed: int = 0
) -> list[Geometry]:
    """The geometry of every layer.

    Args:
      layers: float [N, D_l] of each layer, the vectors of N occurrences.
      words: int [N], the word of each occurrence, below 0 for one that counts for sentences and anisotropy alone.
      sentences: int [N], the sentence of each.
      most: occurrences of a word that are compared; of more a random part, the same in all layers.
      seed: of that part, and of the random occurrences beside each word.

    Raises:
      ValueError: no word occurs `LEAST` times, or no sentence has two words.
    """
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    by_word, by_sentence = groups_of(words, LEAST, most, rng), groups_of(sentences, 2, len(words), rng)
    if not by_word or not by_sentence:
        raise ValueError(f"needs a word that occurs {LEAST} times and a sentence of two words")
    beside = [rng.choice(len(words), len(rows), replace=False) for rows in by_word]
    with threadpool_limits(1):  # for products this small, threads wait for each other longer than they compute
        return [_layer(x, layers[i - 1] if i else None, by_word, by_sentence, beside) for i, x in enumerate(layers)]


def _layer(
    x: np.ndarray,
    before: np.ndarray | None,
    by_word: Sequence[np.ndarray],
    by_sentence: Sequence[np.ndarray],
    beside: Sequence[np.ndarray],
) -> Geometry:
    """One layer, whose occurrences `beside` are as many of any words as each of `by_word` has."""
    whole, centred, along = np.nanmean([explained(x[rows]) for rows in by_word], axis=0).tolist()
    moved, turned = (np.nan, np.nan) if before is None else moves(before, x)
    units = unit(x)
    return Geometry(
        anisotropy=mean_cosine(units),
        self_similarity=self_similarity(units, by_word),
        intra_sentence=intra_sentence(x, by_sentence),
        explained=whole,
        explained_random=float(np.nanmean([explained(x[rows])[0] for rows in beside])),
        centred=centred,
        along=along,
        length=float(np.linalg.norm(np.asarray(x, np.float64), axis=1).mean()),
        moved=moved,
        turned=turned,
    )


def moves(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """(mean |after - before| / |before|, mean cosine) of the same occurrences, [N, D] both; nan at other widths."""
    if before.shape != after.shape:
        return np.nan, np.nan
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    size = np.linalg.norm(before, axis=1)
    there = size > TINY
    change = np.linalg.norm(after - before, axis=1)[there] / size[there]
    return float(change.mean()), float((unit(before) * unit(after)).sum(1)[there].mean())
