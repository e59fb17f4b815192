"""Where the floor and the exponents may be: the laws that few runs do not rule out, by the likelihood ratio.

The bootstrap is of no use for a dozen runs and five parameters: planted floors were in 32 % of its 95 % intervals. A
floor near nothing, or an exponent that is free above, has no quantiles that mean anything. The region of laws

    sum r^2 <= min sum r^2 (1 + F_{.95; 1, n-P} / (n - P)),    r = log y - log law

does not depend on how a law is parametrised, and the range of any number over it is that number's profile-likelihood
interval (Bates & Watts 1988, "Nonlinear Regression Analysis and Its Applications", section 6.1). It assumes noise of
log y that is normal and the same at all sizes.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from scipy.stats import f

from w2v_jax.scaling.laws import Law, log_law
from w2v_jax.scaling.robust import LARGEST_EXPONENT, LOWEST, refit

LEVEL = 0.95
_LIMITS = -LARGEST_EXPONENT, LARGEST_EXPONENT
_EXPONENTS = (-1.0, -0.3, -0.1, 0.02, 0.05, 0.08, 0.12, 0.18, 0.27, 0.4, 0.6, 0.9, 1.4, 2.2, 4.0, 10.0)  # of starts
_FLOORS = (0.0, 0.2, 0.4, 0.6, 0.75, 0.85, 0.9, 0.94, 0.96, 0.975, 0.985, 0.993, 1.0)  # shares of the highest possible
_BESIDE = (1e-6, 1e-4, 3e-3, 0.03)  # shares of a value, which are tried on both sides of it
_SQUARES = 10.0  # of the Huber loss, in log loss: above every residual, so that it is least squares
_BEGUN = 2  # laws of a grid from which a fit starts
_NARROWED = 8  # times, the gap between two tried values in which an end lies
_SHARES = 0.1, 0.9  # of a gap, which one step leaves at most
_FILLED = 17  # values of each exponent between its ends
_ROUNDING = 1e-7  # least noise of log loss: what a table's digits leave


def region(law: Law, theta: np.ndarray, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Laws of the region, float [B, P]; `theta` [P] is one start, logs [n, K] are log sizes less their centres.

    `_ends` finds the ends of each exponent and of the floor. Between them lie the laws of a finer grid of
    exponents, with a floor and without. Every law comes again raised and lowered as a whole to the edge of the region.
    """
    k, n = len(law.sizes), len(log_y)
    best, least = _least_squares(law, np.concatenate([theta[None], _nearest(law, logs, log_y)]), logs, log_y)
    least = max(least, n * _ROUNDING**2)
    limit = least * (1 + f.ppf(LEVEL, 1, n - law.parameters) / (n - law.parameters))
    found = _ends(law, best, limit, logs, log_y)
    between = [np.quantile(found[:, j], np.linspace(0, 1, _FILLED)) for j in range(k, 2 * k)]
    exponents = np.array(list(itertools.product(*between)))
    filled = [_fitted(law, exponents, logs, log_y, floor)[0] for floor in ((None, 0.0) if law.floor else (None,))]
    laws = np.concatenate([found, *filled])
    inside = laws[_squares(law, laws, logs, log_y) <= limit]
    residual = log_y - log_law(law, inside, logs)
    middle, room = residual.mean(-1), np.maximum(limit - (residual**2).sum(-1), 0) / n
    moved = []
    for side in (-1, 1):  # sum (r - shift)^2 = limit
        shift = (middle + side * np.sqrt(middle**2 + room))[:, None]
        moved.append(np.concatenate([inside[:, :k] + shift, inside[:, k : 2 * k], inside[:, 2 * k :] + shift], -1))
    return np.concatenate([inside, *moved])


class _At(NamedTuple):
    """Laws of the least squares with one parameter each held: rows of a profile."""

    j: np.ndarray  # int [S], the parameter
    value: np.ndarray  # float [S], of an exponent, or of the floor itself and not its logarithm
    law: np.ndarray  # float [S, P]
    squares: np.ndarray  # float [S]

    def where(self, which: np.ndarray, other: _At) -> _At:
        """These rows where `which`, bool [S], is true, otherwise those of `other`."""
        pairs = zip(self, other, strict=True)
        return _At(*(np.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))


def _ends(law: Law, best: np.ndarray, limit: float, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Laws of the region with the least and the greatest exponents and floor, and some between; [B, P].

    At each of some values of one parameter all others are fitted, from the best laws of a grid and from `best` [P].
    An end lies in the gap between the outermost value inside the region and the next one. It is narrowed by regula
    falsi on the root of the squares, which is nearly a line.
    """
    k = len(law.sizes)
    highest = np.exp(log_y.min() + np.sqrt(limit))  # no law with a higher floor is in the region
    found, inner, outer = [best[None]], [], []
    for j in range(k, law.parameters):
        own = np.exp(best[j]) if j == 2 * k else best[j]
        near = own + (np.abs(own) + 0.01) * np.concatenate([np.negative(_BESIDE), [0.0], _BESIDE])
        lowest, most, grid = (0.0, highest, np.multiply(_FLOORS, highest)) if j == 2 * k else (*_LIMITS, _EXPONENTS)
        values = np.unique(np.clip(np.concatenate([grid, near]), lowest, most))
        begin = [np.concatenate([_nearest(law, logs, log_y, j, value), best[None]]) for value in values]
        tried = _held(law, np.full(len(values), j), values, np.stack(begin), logs, log_y)
        inside = np.flatnonzero(tried.squares <= limit)
        found.append(tried.law[inside])
        at = inside[[0, -1]]
        beyond = np.clip(at + [-1, 1], 0, len(values) - 1)
        inner.append(_At(*(x[at] for x in tried)))
        outer.append(_At(*(x[beyond] for x in tried)))
    low, high = (_At(*map(np.concatenate, zip(*sides, strict=True))) for sides in (inner, outer))
    least = _squares(law, best, logs, log_y)
    for _ in range(_NARROWED):
        roots = [np.sqrt(np.maximum(s - least, 0.0)) for s in (low.squares, high.squares, limit)]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.nan_to_num((roots[2] - roots[0]) / (roots[1] - roots[0]), nan=0.5)
        middle = low.value + (high.value - low.value) * np.clip(share, *_SHARES)
        new = _held(law, low.j, middle, np.stack([low.law, high.law], 1), logs, log_y)
        kept = new.squares <= limit
        found.append(new.law[kept])
        low, high = new.where(kept, low), high.where(kept, new)
    return np.concatenate(found)


def _held(law: Law, j: np.ndarray, values: np.ndarray, begin: np.ndarray, logs: np.ndarray, log_y: np.ndarray) -> _At:
    """The best fits with parameter j [S] at values [S], from starts [S, T, P]."""
    at = np.where(j == 2 * len(law.sizes), np.log(np.maximum(values, np.exp(LOWEST))), values)
    held = np.broadcast_to((np.arange(law.parameters) == j[:, None])[:, None], begin.shape)
    flat = np.where(held, at[:, None, None], begin).reshape(-1, law.parameters)
    many = np.tile(log_y, (len(flat), 1))
    ends, _ = refit(law, flat, logs, many, np.ones_like(many), 1e-7, _SQUARES, held.reshape(flat.shape))
    squares = _squares(law, ends, logs, log_y).reshape(begin.shape[:2])
    chosen = np.arange(len(begin)), squares.argmin(-1)
    return _At(j, values, ends.reshape(begin.shape)[chosen], squares[chosen])


def _squares(law: Law, laws: np.ndarray, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Sum of squared residuals of laws [..., P]."""
    return np.asarray(((log_y - log_law(law, laws, logs)) ** 2).sum(-1))


def _nearest(law: Law, logs: np.ndarray, log_y: np.ndarray, j: int | None = None, value: float = 0.0) -> np.ndarray:
    """The laws of a grid of exponents with the least relative squares, [T, P]; with parameter j at `value`."""
    k = len(law.sizes)
    columns = [(value,) if k + i == j else _EXPONENTS for i in range(k)]
    exponents = np.array(list(itertools.product(*columns)))
    laws, squares = _fitted(law, exponents, logs, log_y, value if j == 2 * k else None)
    return laws[np.argsort(squares)[np.arange(_BEGUN) % len(squares)]]


def _least_squares(law: Law, begin: np.ndarray, logs: np.ndarray, log_y: np.ndarray) -> tuple[np.ndarray, float]:
    """theta [P] of the least sum of squares found from the starts [S, P], and that sum."""
    many = np.tile(log_y, (len(begin), 1))
    ends, _ = refit(law, begin, logs, many, np.ones_like(many), 1e-12, _SQUARES)
    squares = ((log_y - log_law(law, ends, logs)) ** 2).sum(-1)
    return ends[squares.argmin()], float(squares.min())


def starts(law: Law, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """For each row of log_y [B, n] the exponents of a grid with the least relative squares, and their terms; [B, P]."""
    k = len(law.sizes)
    exponents = np.array(list(itertools.product(_EXPONENTS, repeat=k)))
    weights = np.exp(-np.median(log_y, 0))
    terms = _terms(law, exponents, logs) * weights[:, None]
    coefficients, squares = _positive(terms[:, None], np.exp(log_y) * weights)
    chosen = squares.argmin(0)
    return _theta(law, exponents[chosen], coefficients[chosen, np.arange(len(log_y))])


def _fitted(
    law: Law, exponents: np.ndarray, logs: np.ndarray, log_y: np.ndarray, floor: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Laws [B, P] of exponents [B, K] with the terms that fit log_y [n] best, and their relative squares [B].

    The floor is fitted too, or is `floor`.
    """
    weights = np.exp(-log_y)
    terms = _terms(law, exponents, logs) * weights[:, None]
    if floor is None:
        coefficients, squares = _positive(terms, np.ones_like(log_y))
    else:
        coefficients, squares = _positive(terms[..., :-1], 1.0 - floor * weights)
        coefficients = np.concatenate([coefficients, np.full((len(exponents), 1), floor)], -1)
    return _theta(law, exponents, coefficients), squares


def _terms(law: Law, exponents: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """The powers of each size, and 1 for the floor, for exponents [B, K]; float [B, n, K + floor]."""
    powers = np.exp(-exponents[:, None] * logs)
    return np.concatenate([powers, np.ones((*powers.shape[:2], 1))], -1) if law.floor else powers


def _theta(law: Law, exponents: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """theta [B, P] of exponents [B, K] and coefficients [B, K + floor], of which some may be 0."""
    logs = np.log(np.maximum(coefficients, np.exp(LOWEST)))
    k = len(law.sizes)
    return np.concatenate([logs[:, :k], exponents, logs[:, k:]], -1)


def _positive(terms: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [..., m] of 0 or more with the least sum of squares of y [..., n] less terms [..., n, m], and that.

    Every choice of terms is solved, as there are at most three.
    """
    m = terms.shape[-1]
    scale = np.sqrt((terms**2).sum(-2, keepdims=True))
    unit = terms / scale
    products, onto = unit.swapaxes(-1, -2) @ unit, (unit.swapaxes(-1, -2) @ y[..., None])[..., 0]
    coefficients, least = np.zeros(onto.shape), np.full(onto.shape[:-1], np.inf)
    for size in range(1, m + 1):
        for chosen in itertools.combinations(range(m), size):
            at = np.array(chosen)
            inverse = np.linalg.pinv(products[..., at[:, None], at], rcond=1e-13, hermitian=True)
            found = (inverse @ onto[..., at, None])[..., 0]
            squares = (y**2).sum(-1) - (found * onto[..., at]).sum(-1)
            better = (found >= 0).all(-1) & (squares < least)
            least = np.where(better, squares, least)
            full = np.zeros(onto.shape)
            full[..., at] = found
            coefficients = np.where(better[..., None], full, coefficients)
    return coefficients / scale[..., 0, :], least
