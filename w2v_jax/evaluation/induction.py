"""Senses without labels: clusters of the vectors that a word has in its contexts, and how well they match known senses.

Schütze 1998 (Computational Linguistics 24) clusters context vectors so; the scores are those of SemEval 2010 task 14
(Manandhar et al. 2010), with accuracy under the best matching beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.errors import UserError, check_choice

METHODS = ("kmeans", "gmm")
CHOICES = ("silhouette", "bic")
COMPONENTS = 16  # principal components that a mixture of Gaussians is fitted in, at most
REFERENCES = 5  # draws from one Gaussian that more clusters than one are compared with


class Induced(NamedTuple):
    """Clusters of N vectors, numbered by falling size."""

    labels: np.ndarray  # int64 [N]
    centres: np.ndarray  # float64 [k, D], means of the unit vectors of each cluster
    silhouette: float  # mean over the vectors, -1 to 1; nan for one cluster


def induce(
    vectors: np.ndarray,
    count: int = 0,
    method: str = "kmeans",
    choose: str = "silhouette",
    most: int = 5,
    seed: int = 0,
) -> Induced:
    """Clusters of vectors float [N, D], which are scaled to length 1.

    Args:
      count: number of clusters; 0 chooses 1 to `most`, and fewer than vectors. Equal vectors are in one cluster,
        however many are asked for.
      method: 'kmeans' with 10 starts, or 'gmm', a mixture of Gaussians with diagonal covariances in the first
        `COMPONENTS` principal components.
      choose: 'silhouette' takes the number with the highest mean silhouette (Rousseeuw 1987), and one cluster where as
        many are found as well in vectors drawn from one Gaussian with the same covariance, the null of the gap
        statistic (Tibshirani et al. 2001); 'bic' the lowest Bayesian information criterion of mixtures of Gaussians.
      most: the largest number to choose.
      seed: of the starts.

    Raises:
      UserError: an unknown method or choice, no vector, a value that is not finite, more clusters than vectors.
    """
    check_choice("method", method, METHODS)
    check_choice("choose", choose, CHOICES)
    rows = _unit(vectors)
    if not len(rows) or not np.isfinite(rows).all():
        raise UserError("clusters need at least one vector, of finite numbers")
    if not 0 <= count <= len(rows) or most < 1:
        raise UserError(
            f"{count} clusters of {len(rows)} vectors, chosen up to {most}: must be 0 (chosen) to the number of "
            "vectors, and up to 1 or more"
        )
    distinct = len(np.unique(np.round(rows, 6), axis=0))
    # As many clusters as vectors say nothing, and have no silhouette.
    wanted = [min(count, distinct)] if count else list(range(1, max(1, min(most, distinct, len(rows) - 1)) + 1))
    tried = [_fit(rows, k, method, seed, bic=not count and choose == "bic") for k in wanted]
    if len(tried) == 1:
        best = 0
    elif choose == "bic":
        best = int(np.argmin([score for _, score in tried]))
    else:
        scores = [-1.0 if len(set(labels)) < 2 else _silhouette(rows, labels) for labels, _ in tried]
        best = int(np.argmax(scores))
        if max(scores) <= _by_chance(rows, wanted[best], method, seed):
            best = 0
    return _numbered(rows, tried[best][0])


def _unit(vectors: np.ndarray) -> np.ndarray:
    rows = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))


def _fit(rows: np.ndarray, count: int, method: str, seed: int, bic: bool) -> tuple[np.ndarray, float]:
    """(labels int [N], Bayesian information criterion of the mixture, nan where none is fitted)."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # more threads gain nothing at this size, and are slow where cores are shared
        if method == "kmeans" and not bic:
            from sklearn.cluster import KMeans

            labels = KMeans(count, n_init=10, random_state=seed).fit_predict(rows) if count > 1 else np.zeros(len(rows))
            return np.asarray(labels, np.int64), float("nan")
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture

        width = min(COMPONENTS, *rows.shape)
        small = PCA(width, svd_solver="full").fit_transform(rows) if min(rows.shape) > 1 else rows
        small = small / max(float(small.std()), 1e-12)
        mixture: Any = GaussianMixture(count, covariance_type="diag", n_init=5, random_state=seed, reg_covar=1e-4)
        labels = mixture.fit_predict(small)
        score = float(mixture.bic(small))
    return (labels, score) if method == "gmm" else (_fit(rows, count, "kmeans", seed, bic=False)[0], score)


def _by_chance(rows: np.ndarray, count: int, method: str, seed: int) -> float:
    """The highest silhouette of `count` clusters in `REFERENCES` samples of a Gaussian with the covariance of rows."""
    rng, found = np.random.default_rng(seed), [-1.0]
    _, scale, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    for _ in range(REFERENCES):
        drawn = rows.mean(0) + rng.standard_normal((len(rows), len(scale))) * (scale / np.sqrt(len(rows))) @ axes
        found.append(_silhouette(drawn, _fit(drawn, count, method, seed, bic=False)[0]))
    return float(np.nanmax(found))


def _silhouette(rows: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(rows, labels)) if 1 < len(set(labels.tolist())) < len(rows) else float("nan")


def _numbered(rows: np.ndarray, labels: np.ndarray) -> Induced:
    found, where, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found))
    own = rank[where]
    centres = np.stack([rows[own == k].mean(0) for k in range(len(found))])
    return Induced(own, centres, _silhouette(rows, own))


class Match(NamedTuple):
    """How clusters of N occurrences match known senses."""

    accuracy: float  # share right when each cluster stands for one sense, under the best matching
    majority: float  # share of the most frequent sense: the accuracy of a single cluster
    rand: float  # adjusted Rand index: 0 by chance, 1 the same
    v_measure: float  # harmonic mean of homogeneity and completeness (Rosenberg and Hirschberg 2007), 0 to 1
    occurrences: int  # N


def match(senses: Sequence[Any] | np.ndarray, clusters: Sequence[Any] | np.ndarray) -> Match:
    """Scores of clusters [N] against senses [N].

    Each cluster stands for at most one sense and each sense for at most one cluster, so that the most are right
    (Kuhn 1955); those of further clusters are wrong. ValueError: other lengths, or none.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, v_measure_score

    if len(senses) != len(clusters) or not len(senses):
        raise ValueError("senses and clusters must be of one length above 0")
    _, a = np.unique(np.asarray(senses), return_inverse=True)
    _, b = np.unique(np.asarray(clusters), return_inverse=True)
    table = np.zeros((a.max() + 1, b.max() + 1), np.int64)
    np.add.at(table, (a, b), 1)
    rows, columns = linear_sum_assignment(-table)
    right = float(table[rows, columns].sum() / len(a))
    rand, v = float(adjusted_rand_score(a, b)), float(v_measure_score(a, b))
    return Match(right, float(table.sum(1).max() / len(a)), rand, v, len(a))


def mean_match(found: Sequence[Match]) -> Match:
    """Means over words, each as much as its occurrences; `occurrences` is their sum. ValueError: none."""
    if not found:
        raise ValueError("no word to take the mean of")
    weights = np.array([m.occurrences for m in found], np.float64)
    means = (np.array([m[:4] for m in found]) * weights[:, None]).sum(0) / weights.sum()
    accuracy, majority, rand, v = means.tolist()
    return Match(accuracy, majority, rand, v, int(weights.sum()))
