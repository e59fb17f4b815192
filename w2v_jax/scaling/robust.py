"""Minimises the Huber loss of log errors: L-BFGS from a grid of starts for one fit, damped Newton for many at once."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import minimize

from w2v_jax.scaling.laws import Law, log_law, with_slopes

DELTA = 1e-3  # of the Huber loss, in log loss: Hoffmann et al. 2022, section D.3
EXPONENTS = (0.15, 0.4, 1.0)  # of the grid
FLOORS = (0.1, 0.5, 0.9)  # of the grid, as shares of the smallest loss
_ROUGH = 25  # iterations of L-BFGS from each start
_FULL = 500  # iterations at most, from the best ends
_KEPT = 3  # best ends that are continued
_STEPS = 120  # of the damped Newton method, at most
_LARGEST_STEP = 1.0  # of any parameter; coefficients are logarithms, so this is a factor of e
LOWEST = -35.0  # of a log coefficient or floor: below, a term is zero to double precision
LARGEST_EXPONENT = 10.0  # either sign: beyond, a term is all but gone at the second size, and its fit does not change


def huber(residual: np.ndarray, delta: float = DELTA) -> np.ndarray:
    """r^2 / 2 up to |r| = delta, delta (|r| - delta / 2) beyond; elementwise."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def objective(theta: np.ndarray, law: Law, logs: np.ndarray, log_y: np.ndarray) -> tuple[float, np.ndarray]:
    """Sum over runs of the Huber loss of log y - log law, over DELTA^2, and its gradient [P].

    A sum, so that one tolerance serves any number of runs. Without the division it is of the order of 1e-6, which a
    minimiser's tolerances take for converged at the first step.
    """
    predicted, slopes = with_slopes(law, theta, logs)
    residual = log_y - predicted
    value = huber(residual).sum() / DELTA**2
    return float(value), -(np.clip(residual, -DELTA, DELTA) / DELTA**2) @ slopes


def starts(law: Law, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """float [S, P]: every pair of exponents and floor of the grid, with terms that share the median loss equally."""
    k = len(law.sizes)
    lowest, middle = np.exp(log_y.min()), np.exp(np.median(log_y))
    found = []
    for share in FLOORS if law.floor else (0.0,):
        coefficient = np.log((middle - share * lowest) / k)
        for exponents in itertools.product(EXPONENTS, repeat=k):
            found.append([coefficient] * k + list(exponents) + ([np.log(share * lowest)] if law.floor else []))
    return np.array(found)


def minimise(law: Law, logs: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """theta [P] of the least Huber loss found, for logs [n, K] (log sizes less their centres) and log_y [n].

    With DELTA far below the noise the objective is nearly a sum of absolute values: L-BFGS is slow along its kinks, and
    its line search may fail before the gradient vanishes. So it runs briefly from all starts and to its end from the
    best three, and `refit` takes the last steps.
    """
    ends = [_lbfgs(start, law, logs, log_y, _ROUGH) for start in starts(law, logs, log_y)]
    best = sorted(ends, key=lambda end: end[0])[:_KEPT]
    ends = [_lbfgs(theta, law, logs, log_y, _FULL) for _, theta in best]
    many, once = np.tile(log_y, (len(ends), 1)), np.ones((len(ends), len(log_y)))
    polished, values = refit(law, np.array([theta for _, theta in ends]), logs, many, once, tolerance=1e-15)
    return np.asarray(polished[values.argmin()])


def _lbfgs(
    start: np.ndarray, law: Law, logs: np.ndarray, log_y: np.ndarray, iterations: int
) -> tuple[float, np.ndarray]:
    """(objective, theta) at the end; infinity with the start where the search left the finite numbers."""
    k = len(law.sizes)
    bounds = [(LOWEST, None)] * k + [(-LARGEST_EXPONENT, LARGEST_EXPONENT)] * k + [(LOWEST, None)] * law.floor
    options = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 20, "ftol": 1e-14, "gtol": 1e-8}
    with np.errstate(over="ignore", invalid="ignore"):
        done = minimize(
            objective, start, (law, logs, log_y), method="L-BFGS-B", jac=True, bounds=bounds, options=options
        )
    if np.isfinite(done.fun) and np.isfinite(done.x).all():
        return float(done.fun), done.x
    return np.inf, start


def refit(
    law: Law,
    theta: np.ndarray,
    logs: np.ndarray,
    log_y: np.ndarray,
    weights: np.ndarray,
    tolerance: float = 1e-7,
    delta: float = DELTA,
    held: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Many fits at once, each from its own start, by a damped Newton method on weighted Huber losses.

    The step solves (M + lambda diag M) s = -gradient, M = H + lambda W: H is the Gauss-Newton matrix of the runs within
    delta, whose losses are curved, W that of iteratively reweighted least squares, min(1, delta / |r|), which bounds
    the objective from above and is seldom singular. The diagonal is Marquardt's: where a floor and a small exponent
    nearly replace one another, steps without it stall. lambda falls tenfold when the objective fell, rises tenfold when
    it did not.

    Starts are theta [B, P], logs [n, K], log_y and weights [B, n]; a weight is the number of times that a run counts.
    A fit ends when a step lowers its objective by less than the share `tolerance`. Returns theta [B, P] and
    sum w huber / delta^2, float [B]. A delta far above every residual makes this least squares.
    Parameters where `held`, bool [B, P], is true stay as they are.
    """
    k = len(law.sizes)
    theta = theta.astype(np.float64).copy()
    damping = np.full(len(theta), 1.0)
    value = (weights * huber(log_y - log_law(law, theta, logs), delta)).sum(-1) / delta**2
    active = np.arange(len(theta))
    for _ in range(_STEPS):
        now = theta[active]
        predicted, slopes = with_slopes(law, now, logs)
        if held is not None:
            slopes = np.where(held[active, None], 0.0, slopes)
        residual = log_y[active] - predicted
        size = np.abs(residual)
        inverse = weights[active] / np.maximum(size, delta)  # least-squares weights over delta
        curved = weights[active] / delta * (size < delta)
        total = curved + damping[active, None] * inverse
        transposed = slopes.swapaxes(-1, -2)
        matrix = (transposed * total[:, None, :]) @ slopes
        own = np.diagonal(matrix, axis1=-2, axis2=-1)
        ridge = (damping[active, None] * own + 1e-9 * own.sum(-1, keepdims=True))[..., None] * np.eye(theta.shape[-1])
        downhill = transposed @ (inverse * residual)[..., None]
        step = np.clip(np.linalg.solve(matrix + ridge, downhill)[..., 0], -_LARGEST_STEP, _LARGEST_STEP)
        new = np.maximum(now + step, LOWEST)
        new[:, k : 2 * k] = np.clip(now + step, -LARGEST_EXPONENT, LARGEST_EXPONENT)[:, k : 2 * k]
        new_value = (weights[active] * huber(log_y[active] - log_law(law, new, logs), delta)).sum(-1) / delta**2
        better = new_value < value[active]
        gain = np.where(better, value[active] - new_value, 0.0)
        theta[active[better]], value[active[better]] = new[better], new_value[better]
        damping[active] = np.clip(damping[active] * np.where(better, 0.1, 10.0), 1e-6, 1e8)
        small = np.where(better, gain <= tolerance * (1e-6 + value[active]), damping[active] > 1e6)
        active = active[~small]
        if not len(active):
            break
    return theta, value
