"""Multinomial logistic regression at its optimum, for many features of very different sizes, sparse or dense.

  f(W, b) = mean over texts of -log softmax(x_n W + b)[y_n] + |W|^2 / (2 C N)

Newton's method. The direction of a step is found by conjugate gradients with the diagonal of the Hessian as
preconditioner (Nocedal and Wright 2006, chapters 5 and 7): as if each feature had a scale of its own, which leaves the
optimum where it is. A direction need not be exact, so its products with the features are in 32 bits, twice as fast;
f and its gradient, which say where the optimum is, are in 64. The length of a step is searched along the scores x_n W,
without further products.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

PRODUCTS = 200  # with the Hessian, for one direction at most
ROUGH = 0.2  # residual of the first directions; later ones are better, as quadratic convergence needs
TRIED = 30  # lengths of one step at most
_TINY = 1e-12  # curvature of an intercept where all probabilities are 0 or 1


class Solution(NamedTuple):
    """The regression of K labels that have a text."""

    classes: np.ndarray  # int [K], rising
    weights: np.ndarray  # float64 [F + 1, K], W with b as its last row; b has mean 0
    steps: int
    converged: bool


class _Texts(NamedTuple):
    """What does not change in a fit."""

    features: Any  # float64 [N, F]
    short: Any  # the same in float32
    turned: Any  # float32 [F, N]
    squares: Any  # float32 [F, N], of each number its square
    own: np.ndarray  # bool [N, K], the label of each text
    penalty: float


def solve(
    features: Any, labels: np.ndarray, strength: float, start: Solution | None, tolerance: float, most: int
) -> Solution:
    """The optimum for C = `strength`, to a gradient of f with no entry above `tolerance`, in at most `most` steps.

    With two labels it is the usual binary regression, |w|^2 / 2 for the one vector w = W_1 - W_0.

    Args:
      features: float64 [N, F], an array or a scipy csr matrix.
      labels: int [N], of two kinds at least.
      start: a solution for the same labels, such as that of another C. It is first scaled to its best size.
    """
    classes, own = np.unique(labels, return_inverse=True)
    count, kinds = len(classes), np.eye(len(classes), dtype=bool)
    texts = _texts(features, kinds[own], (2.0 if count == 2 else 1.0) / (strength * len(labels)))
    at, scores = np.zeros((features.shape[1] + 1, count)), np.zeros((len(labels), count))
    if start is not None:
        whole = _scores(features, start.weights)
        best = _length(texts, at, scores, start.weights, whole)
        at, scores = best * start.weights, best * whole
    first = 0.0
    for step in range(most + 1):
        chances = _softmax(scores)
        rest = (chances - texts.own) / len(scores)
        slope = np.concatenate([features.T @ rest + texts.penalty * at[:-1], rest.sum(0, keepdims=True)])
        converged = bool(np.abs(slope).max() <= tolerance)
        if converged or step == most:
            break
        way, first = _direction(texts, chances, slope, first)
        along = _scores(features, way)
        length = _length(texts, at, scores, way, along)
        at, scores = at + length * way, scores + length * along
    return Solution(classes, np.concatenate([at[:-1], at[-1:] - at[-1].mean()]), step, converged)


def probabilities(solution: Solution, features: Any) -> np.ndarray:
    """float64 [N, K] of the labels `solution.classes`."""
    return _softmax(_scores(features, solution.weights))


def loss(solution: Solution, features: Any, labels: np.ndarray) -> float:
    """-mean log p(label) of texts, whose labels need not all be among those of the solution."""
    places = np.searchsorted(solution.classes, labels).clip(max=len(solution.classes) - 1)
    own = probabilities(solution, features)[np.arange(len(labels)), places]
    own = np.where(solution.classes[places] == labels, own, 0.0)
    return float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())


def predicted(solution: Solution, features: Any) -> np.ndarray:
    """The most probable label of each text, int [N]."""
    return np.asarray(solution.classes[_scores(features, solution.weights).argmax(1)])


def _scores(features: Any, weights: np.ndarray) -> np.ndarray:
    return np.asarray(features @ weights[:-1] + weights[-1])


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _texts(features: Any, own: np.ndarray, penalty: float) -> _Texts:
    short = features.astype(np.float32)
    if sp.issparse(short):
        turned = short.T.tocsr()
        return _Texts(features, short, turned, turned.multiply(turned).tocsr(), own, penalty)
    return _Texts(features, short, short.T, np.square(short).T, own, penalty)


def _direction(texts: _Texts, chances: np.ndarray, slope: np.ndarray, first: float) -> tuple[np.ndarray, float]:
    """(d with H d = -slope to a part of it, the squared size of the first slope of the fit)."""
    count, penalty = np.float32(len(chances)), np.float32(texts.penalty)
    p = chances.astype(np.float32)
    spread = p * (1 - p) / count
    diagonal = np.concatenate([texts.squares @ spread + penalty, spread.sum(0, keepdims=True) + np.float32(_TINY)])
    rest: np.ndarray = -slope.astype(np.float32)
    way = scaled = rest / diagonal
    size = _dot(rest, scaled)
    first = first or size
    wanted, found = min(ROUGH, (size / first) ** 0.25) ** 2 * size, np.zeros_like(rest)
    for _ in range(PRODUCTS):
        if size <= wanted:
            break
        moved: np.ndarray = texts.short @ way[:-1] + way[-1]
        moved = p * (moved - (p * moved).sum(1, keepdims=True)) / count
        turned = np.concatenate([texts.turned @ moved + penalty * way[:-1], moved.sum(0, keepdims=True)])
        length = np.float32(size / _dot(way, turned))
        found, rest = found + length * way, rest - length * turned
        scaled = rest / diagonal
        before, size = size, _dot(rest, scaled)
        way = scaled + np.float32(size / before) * way
    return found.astype(np.float64), first


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """Summed in 64 bits."""
    return float(np.einsum("fk,fk->", a, b, dtype=np.float64))


def _length(texts: _Texts, at: np.ndarray, scores: np.ndarray, way: np.ndarray, along: np.ndarray) -> float:
    """The t for which f(at + t way) is lowest, by Newton's method between bounds, until the slope is a hundredth of
    that at 0; `scores` and `along` are those of `at` and `way`. A t that is too small is returned if none is found."""
    low, high, t, first = 0.0, np.inf, 1.0, 0.0
    cross, square = (texts.penalty * np.vdot(x[:-1], way[:-1]) for x in (at, way))
    mine = along[texts.own].mean()
    for trial in range(TRIED):
        tried = t if trial else 0.0
        chances = _softmax(scores + tried * along)
        mean = (chances * along).sum(1)
        slope = float(mean.mean() - mine + cross + tried * square)
        bend = float(((chances * along * along).sum(1) - mean * mean).mean() + square)
        if not trial:
            first = slope
            if slope >= 0.0:
                break
            continue
        if abs(slope) <= 0.01 * abs(first):
            return t
        low, high = (low, t) if slope > 0 else (t, high)
        t -= slope / bend if bend > 0 else np.inf
        if not low < t < high:
            t = 2.0 * low if high == np.inf else 0.5 * (low + high)
    return low
