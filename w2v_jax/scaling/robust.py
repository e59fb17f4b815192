"""The Huber loss of a law's errors, and many fits at once by a damped Newton method."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from w2v_jax.scaling.laws import Law, log_law, with_slopes

DELTA = 1e-3  # of the Huber loss, in log loss: Hoffmann et al. 2022, section D.3
_STEPS = 120  # of the damped Newton method, at most
_LARGEST_STEP = 1.0  # of any parameter; coefficients are logarithms, so this is a factor of e
LOWEST = -35.0  # of a log coefficient or floor: below, a term is zero to double precision
LARGEST_EXPONENT = 10.0  # either sign: beyond, a term is all but gone at the second size, and its fit does not change


class Misfit(NamedTuple):
    """What a fit minimises: the Huber loss of the errors of log y, as Hoffmann et al. 2022, or of y itself."""

    delta: float = DELTA
    of_logs: bool = True

    def __str__(self) -> str:
        return f"Huber loss of {'log ' if self.of_logs else ''}loss, delta {self.delta:g}"


LOGS = Misfit()
SQUARES = Misfit(10.0)  # above every error of log loss, so that it is least squares


def huber(residual: np.ndarray, delta: float = DELTA) -> np.ndarray:
    """r^2 / 2 up to |r| = delta, delta (|r| - delta / 2) beyond; elementwise."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def errors(law: Law, theta: np.ndarray, logs: np.ndarray, log_y: np.ndarray, misfit: Misfit) -> np.ndarray:
    """Those of log y, or of y, float [..., n]; arguments as in `laws.lines`, log_y [..., n]."""
    predicted = log_law(law, theta, logs)
    return log_y - predicted if misfit.of_logs else np.exp(log_y) - np.exp(predicted)


def mean_misfit(law: Law, theta: np.ndarray, logs: np.ndarray, log_y: np.ndarray, misfit: Misfit = LOGS) -> np.ndarray:
    """The mean Huber loss over the runs, float [...]."""
    return np.asarray(huber(errors(law, theta, logs, log_y, misfit), misfit.delta).mean(-1))


def refit(
    law: Law,
    theta: np.ndarray,
    logs: np.ndarray,
    log_y: np.ndarray,
    weights: np.ndarray,
    tolerance: float = 1e-7,
    misfit: Misfit = LOGS,
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
    sum w huber / delta^2, float [B]. Parameters where `held`, bool [B, P], is true stay as they are.
    """
    k, delta = len(law.sizes), misfit.delta
    theta = theta.astype(np.float64).copy()
    damping = np.full(len(theta), 1.0)
    value = (weights * huber(errors(law, theta, logs, log_y, misfit), delta)).sum(-1) / delta**2
    active = np.arange(len(theta))
    for _ in range(_STEPS):
        now = theta[active]
        predicted, slopes = with_slopes(law, now, logs)
        if held is not None:
            slopes = np.where(held[active, None], 0.0, slopes)
        residual = log_y[active] - predicted
        if not misfit.of_logs:
            residual, slopes = np.exp(log_y[active]) - np.exp(predicted), slopes * np.exp(predicted)[..., None]
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
        new_value = (weights[active] * huber(errors(law, new, logs, log_y[active], misfit), delta)).sum(-1) / delta**2
        better = new_value < value[active]
        gain = np.where(better, value[active] - new_value, 0.0)
        theta[active[better]], value[active[better]] = new[better], new_value[better]
        damping[active] = np.clip(damping[active] * np.where(better, 0.1, 10.0), 1e-6, 1e8)
        small = np.where(better, gain <= tolerance * (1e-6 + value[active]), damping[active] > 1e6)
        active = active[~small]
        if not len(active):
            break
    return theta, value
