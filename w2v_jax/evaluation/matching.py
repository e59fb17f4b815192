"""How far two models find the same topics: topics are matched one to one, and the matches compared with chance.

A model's topics are seen in two ways: by their words, likeliest first, and by their documents, the loading of each
document on each topic. Scores between the topics of two models, K and L of them, are

  words       the share of the first n words that two topics have in common
  documents   the correlation of their loadings over all documents (the cosine of the centred loadings), without sign

The matching with the highest sum of scores is found exactly (Kuhn 1955, the Hungarian method). It uses whatever chance
offers, so its mean score is compared with that of the best matching after the link between both models was cut: with
the words of one model dealt to its topics anew, or its documents in another order. The mean of a random matching, which
is that of all scores, stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

DRAWS = 20  # of chance


class Agreement(NamedTuple):
    """A matching and what its scores are worth."""

    first: np.ndarray  # int64 [min(K, L)], topics of the first model, best match first
    second: np.ndarray  # int64 [min(K, L)], their matches
    scores: np.ndarray  # float64 [min(K, L)], falling
    mean: float  # of the scores
    chance: float  # mean score of the best matching of models without a link
    random: float  # mean score of a random matching

    @property
    def share(self) -> float:
        """Where the mean lies between chance (0) and the same topics (1)."""
        return (self.mean - self.chance) / (1.0 - self.chance) if self.chance < 1.0 else 0.0


def by_words(first: Sequence[np.ndarray], second: Sequence[np.ndarray], seed: int = 0) -> Agreement:
    """The agreement by words. Each model is given by word ids int [K, n], once for every reading of its topics: a topic
    that can be read in two ways, such as a component and its opposite, counts by the better one."""
    drawn = np.random.default_rng(seed)

    def dealt() -> np.ndarray:
        return _best_overlap(first, [drawn.permutation(ids.ravel()).reshape(ids.shape) for ids in second])

    return _agreement(_best_overlap(first, second), dealt)


def by_documents(first: np.ndarray, second: np.ndarray, seed: int = 0) -> Agreement:
    """The agreement by documents: loadings float [N, K] and [N, L] of the same documents. A topic on which all of them
    load alike has the score 0 with every other."""
    drawn = np.random.default_rng(seed)
    left, right = _centred(first), _centred(second)
    return _agreement(np.abs(left.T @ right), lambda: np.abs(left.T @ right[drawn.permutation(len(right))]))


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The share of n words that each of K topics has in common with each of L, float64 [K, L]."""
    size = int(max(first.max(), second.max())) + 1
    sets = [np.zeros((len(ids), size)) for ids in (first, second)]
    for table, ids in zip(sets, (first, second), strict=True):
        table[np.arange(len(ids))[:, None], ids] = 1.0
    return sets[0] @ sets[1].T / first.shape[1]


def _best_overlap(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    return np.max([overlap(a, b) for a in first for b in second], axis=0)


def _centred(loadings: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and length 1; a constant column becomes zeros."""
    off = np.asarray(loadings, np.float64)
    off = off - off.mean(0)
    size = np.linalg.norm(off, axis=0)
    return off / np.where(size > 1e-12, size, np.inf)


def _agreement(scores: np.ndarray, unlinked: Callable[[], np.ndarray]) -> Agreement:
    first, second = linear_sum_assignment(scores, maximize=True)
    order = np.argsort(-scores[first, second], kind="stable")
    first, second = first[order], second[order]
    found = scores[first, second]
    chances = []
    for _ in range(DRAWS):
        other = unlinked()
        chances.append(other[linear_sum_assignment(other, maximize=True)].mean())
    return Agreement(first, second, found, float(found.mean()), float(np.mean(chances)), float(scores.mean()))
