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

import numpy as np
from scipy.stats import f

from w2v_jax.scaling.laws import Law, log_law
from w2v_jax.scaling.robust import LARGEST_EXPONENT, LOWEST, refit

LEVEL = 0.95
_EXPONENTS = (-1.0, -0.3, -0.1, 0.02, 0.05, 0.08, 0.12, 0.18, 0.27, 0.4, 0.6, 0.9, 1.4, 2.2, 4.0, 10.0)  # of starts
_SQUARES = 10.0  # of the Huber loss, in log loss: above every residual, so that it is least squares
_WIDER = 1.5  # noise of the candidates over that of the runs, so that they reach the edge of the region
_ROUNDS, _ENDS = 3, 2  # of steps outwards, and laws at each end from which they start
_OFFSETS = (0.0005, 0.002, 0.008, 0.03, 0.12, 0.5)  # of a step, as shares of the range
_ROUNDING = 1e-7  # least noise of log loss: what a table's digits leave


def region(law: Law, theta: np.ndarray, logs: np.ndarray, log_y: np.ndarray, *, seed: int, count: int) -> np.ndarray:
    """Laws of the region, float [B, P]; `theta` [P] is one start, logs [n, K] are log sizes less their centres.

    Candidates are least-squares fits to `count` sets of new losses with half as much noise again, each from the best
    of a grid of starts, with the floor and without. Each comes four times: as it is, with its coefficients and floor
    fitted to the real runs, with its coefficients alone, and with those and no floor.
    """
    rng = np.random.default_rng(seed)
    n = len(log_y)
    best, least = _least_squares(law, np.stack([theta, starts(law, logs, log_y[None])[0]]), logs, log_y)
    least = max(least, n * _ROUNDING**2)
    noise = np.sqrt(least / (n - law.parameters))
    new = log_law(law, best, logs) + _WIDER * noise * rng.standard_normal((count, n))
    drawn = _fits(law, logs, new)
    if law.floor:  # without a floor the law bends another way: few fits with one end there
        bare = _fits(law._replace(floor=False), logs, new)
        drawn = np.concatenate([drawn, np.pad(bare, [(0, 0), (0, 1)], constant_values=LOWEST)])
    found = np.concatenate([best[None], drawn, *_fitted_terms(law, drawn, logs, log_y)])
    squares = ((log_y - log_law(law, found, logs)) ** 2).sum(-1)
    limit = least * (1 + f.ppf(LEVEL, 1, n - law.parameters) / (n - law.parameters))
    inside = found[squares <= limit]
    inside = np.concatenate([best[None], inside])
    for _ in range(_ROUNDS):
        tried = _outwards(law, inside, logs, log_y)
        squares = ((log_y - log_law(law, tried, logs)) ** 2).sum(-1)
        inside = np.concatenate([inside, tried[squares <= limit]])
    return inside


def _outwards(law: Law, inside: np.ndarray, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Fits with one exponent, or the floor, a little beyond its range inside the region; [B, P].

    Candidates seldom reach the corners of a region, where a parameter is least or greatest.
    """
    k, tried, held = len(law.sizes), [], []
    for j in range(k, law.parameters):
        values = np.exp(inside[:, j]) if j == 2 * k else inside[:, j]
        order = np.argsort(values, kind="stable")
        for side, outer in ((-1, order), (1, order[::-1])):
            ends = outer[:: max(1, len(outer) // 10 // _ENDS)][:_ENDS]  # the last, and some of the last tenth
            edge = values[outer[0]]
            reach = min(float(np.ptp(values)), abs(float(edge)) + 0.01)
            for offset in _OFFSETS:
                new = inside[ends].copy()
                beyond = edge + side * offset * reach
                limits = -LARGEST_EXPONENT, LARGEST_EXPONENT
                new[:, j] = np.log(max(beyond, np.exp(LOWEST))) if j == 2 * k else np.clip(beyond, *limits)
                tried.append(new)
                held.append(np.tile(np.arange(law.parameters) == j, (len(new), 1)))
    begin, fixed = np.concatenate(tried), np.concatenate(held)
    many = np.tile(log_y, (len(begin), 1))
    return refit(law, begin, logs, many, np.ones_like(many), 1e-6, _SQUARES, fixed)[0]


def _fits(law: Law, logs: np.ndarray, new: np.ndarray) -> np.ndarray:
    """theta [B, P] of the least squares of each row of new log losses [B, n]."""
    return refit(law, starts(law, logs, new), logs, new, np.ones_like(new), 1e-4, _SQUARES)[0]


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


def _fitted_terms(law: Law, theta: np.ndarray, logs: np.ndarray, log_y: np.ndarray) -> list[np.ndarray]:
    """`theta` [B, P] with the coefficients that fit log_y [n] best: alone, with the floor, and without a floor."""
    k = len(law.sizes)
    exponents = theta[:, k : 2 * k]
    weights = np.exp(-log_y)
    terms = _terms(law, exponents, logs) * weights[:, None]
    whole, _ = _positive(terms, np.ones_like(log_y))
    out = [_theta(law, exponents, whole)]
    if law.floor:
        floor = np.exp(theta[:, 2 * k :])
        kept, _ = _positive(terms[..., :k], 1.0 - floor * weights)
        none, _ = _positive(terms[..., :k], np.ones_like(log_y))
        out += [_theta(law, exponents, np.concatenate([c, e], -1)) for c, e in ((kept, floor), (none, 0.0 * floor))]
    return out


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
