"""Variable projection: for given exponents the terms of a law are linear, so a search needs the exponents alone.

Golub & Pereyra 1973 (SIAM Journal on Numerical Analysis 10); for scaling laws Czech et al. 2026 (arXiv 2603.22339). The
coefficients of a grid of exponents are solved exactly, none below 0; the best laws of the grid are then polished in all
numbers at once (`robust.refit`), where the projection would be slow and the loss is not of squares.
"""

from __future__ import annotations

import itertools

import numpy as np

from w2v_jax.scaling.laws import Law, log_law
from w2v_jax.scaling.robust import LOGS, LOWEST, SQUARES, Misfit, mean_misfit, refit

EXPONENTS = (-1.0, -0.3, -0.1, 0.02, 0.05, 0.08, 0.12, 0.18, 0.27, 0.4, 0.6, 0.9, 1.4, 2.2, 4.0, 10.0)  # of starts
_BEGUN = 2  # laws of a grid from which a fit of squares starts
_FINE = (*np.linspace(-1.0, 2.0, 61), *EXPONENTS[-2:])  # of starts, where there is one exponent
_POLISHED = 12  # laws of a grid from which a robust fit starts, with a floor and without
_KEPT = 3  # of those, which are polished to the end
_SHARES = (0.0, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.97)  # floors of a joint law that are tried, of the lowest loss
_LEAST_JOIN = 0.02  # exponent of a joint law in its start
_LARGEST_LOG = 100.0  # of a number there


def minimise(law: Law, logs: np.ndarray, log_y: np.ndarray, misfit: Misfit = LOGS) -> np.ndarray:
    """theta [P] of the least Huber loss found, for logs [n, K] (log sizes less their centres) and log_y [n].

    With delta far below the noise the loss is nearly a sum of absolute values, with many kinks and some local minima:
    hence the laws of the grid from which it starts are chosen by the loss itself.
    """
    one = len(law.sizes) == 1
    exponents = np.array([[x] for x in _FINE] if one else list(itertools.product(EXPONENTS, repeat=len(law.sizes))))
    chosen = []
    # From a floor of nothing no slope leads up, nor down to it: both kinds start.
    for floor in (None, 0.0)[: 1 + law.floor]:
        laws, _ = fitted(law, exponents, logs, log_y, floor)
        order = np.argsort(mean_misfit(law, laws, logs, log_y, misfit), kind="stable")
        chosen.append(laws[order[:_POLISHED]])
    begin = np.concatenate(chosen)
    for kept, tolerance in ((len(begin), 1e-4), (_KEPT, 1e-15)):
        many = np.tile(log_y, (len(begin[:kept]), 1))
        ends, values = refit(law, begin[:kept], logs, many, np.ones_like(many), tolerance, misfit)
        begin = ends[np.argsort(values, kind="stable")]
    return np.asarray(begin[0])


def squares(law: Law, laws: np.ndarray, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Sum of squared residuals of laws [..., P]."""
    return np.asarray(((log_y - log_law(law, laws, logs)) ** 2).sum(-1))


def nearest(law: Law, logs: np.ndarray, log_y: np.ndarray, j: int | None = None, value: float = 0.0) -> np.ndarray:
    """The laws of a grid of exponents with the least relative squares, [T, P]; with parameter j at `value`."""
    k = len(law.sizes)
    columns = [(value,) if k + i == j else EXPONENTS for i in range(k)]
    exponents = np.array(list(itertools.product(*columns)))
    laws, squares = fitted(law, exponents, logs, log_y, value if j == 2 * k else None)
    return laws[np.argsort(squares)[np.arange(_BEGUN) % len(squares)]]


def least_squares(law: Law, begin: np.ndarray, logs: np.ndarray, log_y: np.ndarray) -> tuple[np.ndarray, float]:
    """theta [P] of the least sum of squares found from the starts [S, P], and that sum."""
    many = np.tile(log_y, (len(begin), 1))
    ends, _ = refit(law, begin, logs, many, np.ones_like(many), 1e-12, SQUARES)
    squares = ((log_y - log_law(law, ends, logs)) ** 2).sum(-1)
    return ends[squares.argmin()], float(squares.min())


def starts(law: Law, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """For each row of log_y [B, n] the exponents of a grid with the least relative squares, and their terms; [B, P]."""
    k = len(law.sizes)
    if law.joint:
        return np.stack([nearest(law, logs, row)[0] for row in log_y])
    exponents = np.array(list(itertools.product(EXPONENTS, repeat=k)))
    weights = np.exp(-np.median(log_y, 0))
    terms = _terms(law, exponents, logs) * weights[:, None]
    coefficients, squares = _positive(terms[:, None], np.exp(log_y) * weights)
    chosen = squares.argmin(0)
    return _theta(law, exponents[chosen], coefficients[chosen, np.arange(len(log_y))])


def fitted(
    law: Law, exponents: np.ndarray, logs: np.ndarray, log_y: np.ndarray, floor: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Laws [B, P] of exponents [B, K] with the terms that fit log_y [n] best, and their relative squares [B].

    The floor is fitted too, or is `floor`. A joint law's is the best of some, and its squares are those of log_y.
    """
    if law.joint:
        return _fitted_joint(law, exponents, logs, log_y, floor)
    weights = np.exp(-log_y)
    terms = _terms(law, exponents, logs) * weights[:, None]
    if floor is None:
        coefficients, squares = _positive(terms, np.ones_like(log_y))
    else:
        coefficients, squares = _positive(terms[..., :-1], 1.0 - floor * weights)
        coefficients = np.concatenate([coefficients, np.full((len(exponents), 1), floor)], -1)
    return _theta(law, exponents, coefficients), squares


def _fitted_joint(
    law: Law, exponents: np.ndarray, logs: np.ndarray, log_y: np.ndarray, floor: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """As `fitted`: for a given floor the power 1 / beta of what lies above it is a sum that is linear in its terms."""
    joins = np.maximum(exponents[:, -1:], _LEAST_JOIN)
    powers = np.clip(-exponents[:, None] * logs / joins[..., None], -_LARGEST_LOG, _LARGEST_LOG)
    lowest = np.exp(log_y.min())
    tried = np.array([floor] if floor is not None else [share * lowest for share in _SHARES] if law.floor else [0.0])
    laws = []
    for each in tried:
        above = np.log(np.maximum(np.exp(log_y) - each, 1e-6 * lowest)) / joins
        terms = np.exp(np.clip(powers - above[..., None], -_LARGEST_LOG, _LARGEST_LOG))
        coefficients, _ = _positive(terms, np.ones_like(above))
        with np.errstate(divide="ignore"):
            begin = np.maximum(joins * np.log(coefficients), LOWEST)
        ends = [np.full((len(begin), 1), max(np.log(max(each, 1e-300)), LOWEST))] if law.floor else []
        laws.append(np.concatenate([begin, exponents, *ends], -1))
    many = np.stack(laws)
    sums = np.nan_to_num(squares(law, many, logs, log_y), nan=np.inf)
    chosen = sums.argmin(0), np.arange(len(exponents))
    return many[chosen], sums[chosen]


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
