"""Scores of distances between the two texts of labelled pairs, and of graded scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """Accuracy by threshold: a pair is SAME up to it."""

    thresholds: np.ndarray  # float64 [K], rising
    accuracies: np.ndarray  # float64 [K]

    @property
    def best(self) -> float:
        """The threshold of the highest accuracy, of equals the middle one."""
        top = np.flatnonzero(self.accuracies == self.accuracies.max())
        return float(self.thresholds[top[(len(top) - 1) // 2]])


class Graded(NamedTuple):
    """Of scores beside the given ones; a correlation is None where one side is constant."""

    pearson: float | None
    spearman: float | None
    error: float  # mean squared


def accuracy(distances: np.ndarray, same: np.ndarray, threshold: float) -> float:
    """Share of N pairs, N at least 1, whose distance is on the right side: up to `threshold` for `same`, above else."""
    return float(np.mean((distances <= threshold) == same))


def curve(distances: np.ndarray, same: np.ndarray) -> Curve:
    """Accuracy at every threshold that tells two distances apart: midway between neighbours, and beyond both ends.

    From float [N] and bool [N], N at least 1. A run of equal distances has no threshold inside.
    """
    order = np.argsort(distances, kind="stable")
    d, right = distances[order].astype(np.float64), same[order]
    below = np.concatenate([[0], np.cumsum(right)])  # SAME among the k nearest
    correct = below + (np.sum(~right) - (np.arange(len(d) + 1) - below))
    ends = np.flatnonzero(np.concatenate([[True], d[1:] > d[:-1], [True]]))
    low, high = d[ends[1:-1] - 1], d[ends[1:-1]]
    middle = np.where((low + high) / 2 < high, (low + high) / 2, low)  # neighbours in the last bit have no middle
    room = max(1e-6, 0.01 * float(d[-1] - d[0]))
    return Curve(np.concatenate([[d[0] - room], middle, [d[-1] + room]]), correct[ends] / len(d))


def area(distances: np.ndarray, same: np.ndarray) -> float | None:
    """Area under the ROC curve over all thresholds: the share of (SAME, DIFFERENT) pairs of pairs of which the first is
    nearer, ties counted half (Mann and Whitney 1947). None with one class only."""
    from scipy.stats import rankdata

    count = int(same.sum())
    other = len(same) - count
    if not count or not other:
        return None
    ranks = rankdata(-distances)
    return float((ranks[same].sum() - count * (count + 1) / 2) / (count * other))


def graded(scores: np.ndarray, given: np.ndarray) -> Graded:
    """Pearson's and Spearman's correlation and the mean squared error, in the unit of `given`; float [N] both."""
    from scipy.stats import rankdata

    def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
        a, b = a - a.mean(), b - b.mean()
        size = float(np.sqrt((a * a).sum() * (b * b).sum()))
        return float((a * b).sum() / size) if size > 0 else None

    a, b = scores.astype(np.float64), given.astype(np.float64)
    ranked = correlation(rankdata(a), rankdata(b))
    return Graded(correlation(a, b), ranked, float(((a - b) ** 2).mean()))
