"""Intervals of anything that a law says, by the profile of its squares: an optimum, a loss that no run had.

The interval of a quantity g(theta) is every v that some law of the region (see `region`) has:

    S(v) = min over theta with g(theta) = v of sum r^2,    S(v) <= min sum r^2 (1 + F_{.95; 1, n-P} / (n - P))

It is exact for a law that is linear in its parameters, and does not depend on how they are written (Bates & Watts 1988,
section 6.1). The noise of log y is taken for normal and equal at all sizes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import f

from w2v_jax.scaling.laws import LEVEL, Law, log_law, with_slopes
from w2v_jax.scaling.projection import least_squares as fit_squares
from w2v_jax.scaling.projection import nearest
from w2v_jax.scaling.robust import LARGEST_EXPONENT, LOWEST

_PULL = 1e4  # weight of the wanted value, in standard deviations of the noise for each half width of the interval
_DOUBLED = 40  # times at most that a step outwards grows before an end is called free
_NARROWED = 12  # steps of regula falsi between the last value inside and the first outside
_CLOSE = 1e-3  # of the half width, at which an end is near enough
_ROUNDING = 1e-7  # least noise of log y: what the digits of a table leave
_SMALL = 1e-4  # of a parameter, for a difference

Quantity = Callable[[np.ndarray], float | np.ndarray]


def ends(law: Law, theta: np.ndarray, logs: np.ndarray, log_y: np.ndarray, quantity: Quantity) -> tuple[float, float]:
    """Lower and upper end of the 95 % interval of `quantity`, a function of theta [P]; an infinite end is free.

    logs [n, K] are log sizes less their centres, log_y [n]; the search begins at `theta` [P] and the laws of a grid.
    """
    best, least = fit_squares(law, np.concatenate([theta[None], nearest(law, logs, log_y)]), logs, log_y)
    n = len(log_y)
    least = max(least, n * _ROUNDING**2)
    spare = least * f.ppf(LEVEL, 1, n - law.parameters) / (n - law.parameters)
    noise = np.sqrt(least / (n - law.parameters))

    middle = float(quantity(best))
    step = _first_step(law, best, logs, quantity, np.sqrt(spare))

    def root(v: float, start: np.ndarray) -> tuple[float, np.ndarray]:
        """sqrt(S(v) - S) / sqrt(spare), about proportional to the distance from the best value; and the law there."""
        found = _held(law, start, logs, log_y, quantity, v, noise, step)
        squares = float(((log_y - log_law(law, found, logs)) ** 2).sum())
        return float(np.sqrt(max(squares - least, 0.0) / spare)), found

    return _end(root, best, middle, -step), _end(root, best, middle, step)


def _end(
    root: Callable[[float, np.ndarray], tuple[float, np.ndarray]], best: np.ndarray, middle: float, step: float
) -> float:
    """Where the root is 1, outwards from the middle in the direction of `step`; infinity where it never is."""
    inside, at_inside, law = 0.0, 0.0, best
    for _ in range(_DOUBLED):
        outside = inside + step
        at_outside, there = root(middle + outside, law)
        if at_outside > 1.0:
            break
        inside, at_inside, law, step = outside, at_outside, there, 1.5 * step
    else:
        return float(np.copysign(np.inf, step))
    for _ in range(_NARROWED):
        share = np.clip((1.0 - at_inside) / (at_outside - at_inside), 0.05, 0.95)
        tried = inside + float(share) * (outside - inside)
        at_tried, there = root(middle + tried, law)
        if at_tried > 1.0:
            outside, at_outside = tried, at_tried
        else:
            inside, at_inside, law = tried, at_tried, there
        if abs(outside - inside) < _CLOSE * abs(outside) or abs(at_tried - 1.0) < _CLOSE:
            break
    return middle + (tried if abs(at_tried - 1.0) < _CLOSE else outside)


def _first_step(law: Law, theta: np.ndarray, logs: np.ndarray, quantity: Quantity, reach: float) -> float:
    """The half width of the interval of the linearised law."""
    slopes = with_slopes(law, theta, logs)[1]
    own = _slope(quantity, theta)
    covariance = np.linalg.pinv(slopes.T @ slopes, rcond=1e-12, hermitian=True)
    return max(reach * float(np.sqrt(max(own @ covariance @ own, 0.0))), 1e-9)


def _slope(quantity: Quantity, theta: np.ndarray) -> np.ndarray:
    """Central differences of the quantity, float [P]."""
    steps = _SMALL * np.maximum(np.abs(theta), 0.1)
    above, below = (np.array([float(quantity(row)) for row in theta + side * np.diag(steps)]) for side in (1, -1))
    return np.nan_to_num((above - below) / (2 * steps))


def _held(
    law: Law,
    start: np.ndarray,
    logs: np.ndarray,
    log_y: np.ndarray,
    quantity: Quantity,
    value: float,
    noise: float,
    width: float,
) -> np.ndarray:
    """theta [P] of the least squares among the laws whose quantity is `value`, which a strong pull holds there."""
    pull = _PULL / width
    k = len(law.sizes)
    low = np.array([LOWEST] * k + [-LARGEST_EXPONENT] * k + [LOWEST] * law.floor) - 1e-9
    high = np.array([np.inf] * k + [LARGEST_EXPONENT] * k + [np.inf] * law.floor) + 1e-9

    def residuals(theta: np.ndarray) -> np.ndarray:
        away = float(quantity(theta)) - value
        return np.append((log_law(law, theta, logs) - log_y) / noise, pull * (away if np.isfinite(away) else 1e3))

    def slopes(theta: np.ndarray) -> np.ndarray:
        return np.concatenate([with_slopes(law, theta, logs)[1] / noise, pull * _slope(quantity, theta)[None]])

    begin = np.clip(start, low + 1e-9, high - 1e-9)
    found = least_squares(residuals, begin, slopes, bounds=(low, high), x_scale="jac", xtol=1e-10, max_nfev=100)
    return np.asarray(found.x)
