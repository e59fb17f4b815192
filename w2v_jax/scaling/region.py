"""Where the floor and the exponents may be: the laws that few runs do not rule out, by the likelihood ratio.

The bootstrap is of no use for a dozen runs and five parameters: planted floors were in 32 % of its 95 % intervals. A
floor near nothing, or an exponent that is free above, has no quantiles that mean anything. The region of laws

    sum r^2 <= min sum r^2 (1 + F_{.95; 1, n-P} / (n - P)),    r = log y - log law

does not depend on how a law is parametrised, and the range of any number over it is that number's profile-likelihood
interval (Bates & Watts 1988, "Nonlinear Regression Analysis and Its Applications", section 6.1). It assumes noise of
log y that is normal and the same at all sizes. The ends of exponents and floor are sought; those of other numbers, such
as a = beta / (alpha + beta), are the range over a grid of laws between, which may be too narrow by a few thousandths.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from scipy.stats import f

from w2v_jax.scaling.laws import LEVEL, Law, log_law
from w2v_jax.scaling.projection import EXPONENTS, fitted, least_squares, nearest, squares
from w2v_jax.scaling.robust import LARGEST_EXPONENT, LOWEST, SQUARES, refit

_LIMITS = -LARGEST_EXPONENT, LARGEST_EXPONENT
_FLOORS = (0.0, 0.2, 0.4, 0.6, 0.75, 0.85, 0.9, 0.94, 0.96, 0.975, 0.985, 0.993, 1.0)  # shares of the highest possible
_BESIDE = (1e-6, 1e-4, 3e-3, 0.03)  # shares of a value, which are tried on both sides of it
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
    best, least = least_squares(law, np.concatenate([theta[None], nearest(law, logs, log_y)]), logs, log_y)
    least = max(least, n * _ROUNDING**2)
    limit = least * (1 + f.ppf(LEVEL, 1, n - law.parameters) / (n - law.parameters))
    found = _ends(law, best, limit, logs, log_y)
    between = [np.quantile(found[:, j], np.linspace(0, 1, _FILLED)) for j in range(k, 2 * k)]
    exponents = np.array(list(itertools.product(*between)))
    filled = [fitted(law, exponents, logs, log_y, floor)[0] for floor in ((None, 0.0) if law.floor else (None,))]
    if law.joint:  # of whose floors only some were tried
        filled = [_polished(law, each, logs, log_y) for each in filled]
    laws = np.concatenate([found, *filled])
    inside = laws[squares(law, laws, logs, log_y) <= limit]
    residual = log_y - log_law(law, inside, logs)
    middle, room = residual.mean(-1), np.maximum(limit - (residual**2).sum(-1), 0) / n
    moved = []
    for side in (-1, 1):  # sum (r - shift)^2 = limit
        shift = (middle + side * np.sqrt(middle**2 + room))[:, None]
        moved.append(np.concatenate([inside[:, :k] + shift, inside[:, k : 2 * k], inside[:, 2 * k :] + shift], -1))
    return np.concatenate([inside, *moved])


def _polished(law: Law, laws: np.ndarray, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """The laws [B, P] of the least squares with these exponents."""
    k, many = len(law.sizes), np.tile(log_y, (len(laws), 1))
    held = np.zeros(laws.shape, bool)
    held[:, k : 2 * k] = True
    return refit(law, laws, logs, many, np.ones_like(many), 1e-7, SQUARES, held)[0]


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
        lowest, most, grid = (0.0, highest, np.multiply(_FLOORS, highest)) if j == 2 * k else (*_LIMITS, EXPONENTS)
        values = np.unique(np.clip(np.concatenate([grid, near]), lowest, most))
        begin = [np.concatenate([nearest(law, logs, log_y, j, value), best[None]]) for value in values]
        tried = _held(law, np.full(len(values), j), values, np.stack(begin), logs, log_y)
        inside = np.flatnonzero(tried.squares <= limit)
        found.append(tried.law[inside])
        at = inside[[0, -1]]
        beyond = np.clip(at + [-1, 1], 0, len(values) - 1)
        inner.append(_At(*(x[at] for x in tried)))
        outer.append(_At(*(x[beyond] for x in tried)))
    low, high = (_At(*map(np.concatenate, zip(*sides, strict=True))) for sides in (inner, outer))
    least = squares(law, best, logs, log_y)
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
    ends, _ = refit(law, flat, logs, many, np.ones_like(many), 1e-7, SQUARES, held.reshape(flat.shape))
    sums = squares(law, ends, logs, log_y).reshape(begin.shape[:2])
    chosen = np.arange(len(begin)), sums.argmin(-1)
    return _At(j, values, ends.reshape(begin.shape)[chosen], sums[chosen])
