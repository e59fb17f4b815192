"""The frontier of a study: the runs that no cheaper one beats, and the law of loss by compute along it.

    L(C) = A/C^alpha

C are training FLOPs at the best split between parameters and tokens (Kaplan et al. 2020, arXiv 2001.08361, equation
1.3: .050 for alpha). A floor is fitted only where it is asked for, L(C) = E + A/C^alpha: some ten points of a grid lie
too far from the law to say anything of it. No floor is an assumption then, and the intervals rest on it: `with_floor`
compares the two. `offset` has a law that may also fall faster than a power. A law of N and D has to hold where runs are
far from the frontier too, and pays for it with a wrong form; this one says nothing of such runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import f as fisher
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from w2v_jax.scaling.cells import cells
from w2v_jax.scaling.fit import fit_power
from w2v_jax.scaling.fitted import LEVEL, Fit, Refusal
from w2v_jax.scaling.laws import FLOOR, POWER, Law
from w2v_jax.scaling.projection import least_squares, nearest

WORSE = 0.05  # chance below which the law without a floor is called worse
_ROUNDING = 1e-7  # least deviation of log loss: what the digits of a table leave
APART = 2.0  # factor outside the tokens a parameter of the frontier from which a run is not taken to be on it


class Frontier(NamedTuple):
    """K runs by rising cost."""

    flops: np.ndarray  # float64 [K]
    loss: np.ndarray  # float64 [K], falling: the geometric mean of runs that differ by their seeds, nats a token
    per_parameter: np.ndarray  # float64 [K] tokens a parameter


def frontier(n: np.ndarray, d: np.ndarray, c: np.ndarray, loss: np.ndarray) -> Frontier:
    """Of runs of N parameters, D tokens and C FLOPs, each float [n]: those below all that cost no more."""
    means, _, best = _frontier(n, d, c, loss)
    return Frontier(means[best, 2], np.exp(means[best, 3]), means[best, 1] / means[best, 0])


def on_frontier(n: np.ndarray, d: np.ndarray, c: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Which of the runs `frontier` has, those that differ by their seeds all together; bool [n]."""
    _, cell, best = _frontier(n, d, c, loss)
    return np.isin(cell, best)


def seeds_apart(n: np.ndarray, d: np.ndarray, c: np.ndarray, loss: np.ndarray) -> float:
    """What a single run has that the points lack, as half a 95 % interval of its log loss.

    The points are means of k runs, whose residuals hold s^2/k of the s^2 between seeds: t s sqrt(mean(1 - 1/k)), with s
    pooled over the frontier and t Student's quantile. 0 where no two runs differ by their seeds.
    """
    means, cell, best = _frontier(n, d, c, loss)
    runs = np.bincount(cell)[best]
    freedom = int((runs - 1).sum())
    if not freedom:
        return 0.0
    off_mean = (np.log(loss) - means[cell, 3])[np.isin(cell, best)]
    variance = (off_mean**2).sum() / freedom
    return float(student.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance * (1.0 - 1.0 / runs).mean()))


def _frontier(
    n: np.ndarray, d: np.ndarray, c: np.ndarray, loss: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means [K, 4] of N, D, C and log loss in each cell, the cell of each run [n], and those on the frontier in order.

    Runs of a cell differ by their seeds: those may also draw a few words more or less, and cost so much (`cells`).
    """
    cell = cells(np.stack([cells(np.stack([n, d], -1)), c], -1))
    runs = np.bincount(cell)
    means = np.stack([np.bincount(cell, x) / runs for x in (n, d, c, np.log(loss))], -1)
    order = np.lexsort((means[:, 3], means[:, 2]))
    lowest = np.minimum.accumulate(np.concatenate([[np.inf], means[order[:-1], 3]]))
    return means, cell, order[means[order, 3] < lowest]


def fit_frontier(found: Frontier, floor: float = 0.0, fitted: bool = False) -> Fit | Refusal:
    """L(C) - floor = A/C^alpha, with the intervals and refusals of `fit.fit_power`; `fitted`: L(C) = E + A/C^alpha."""
    fit = fit_power(found.flops, found.loss - floor, floor=fitted, symbol="C")
    if not floor or isinstance(fit, Refusal):
        return fit
    return fit._replace(law=fit.law._replace(formula="L(C) - E = A C^-alpha"))


class WithFloor(NamedTuple):
    """L(C) = E + A/C^alpha beside the same without E, by least squares of log loss (Draper & Smith 1998, section 6.1).

    The test takes the noise for normal, and the law with a floor for the right one."""

    fit: Fit | Refusal  # with the floor
    ratio: float  # F: squares that the floor takes away, over the mean square that is left; nan for three points
    chance: float  # of an F as large where there is no floor

    @property
    def worse(self) -> bool:
        """Whether the points contradict a law without a floor."""
        return self.chance < WORSE


def with_floor(found: Frontier) -> WithFloor:
    """What a fitted floor changes."""
    fit, points = fit_frontier(found, fitted=True), len(found.loss)
    if points <= FLOOR.parameters:
        return WithFloor(fit, np.nan, 1.0)
    bare, floored = (max(_squares(law, found), points * _ROUNDING**2) for law in (POWER, FLOOR))
    freedom = points - FLOOR.parameters
    ratio = max(bare - floored, 0.0) / (floored / freedom)
    return WithFloor(fit, ratio, float(fisher.sf(ratio, 1, freedom)))


def _squares(law: Law, found: Frontier) -> float:
    """The least sum of squared residuals of log loss."""
    logs = np.log(found.flops)[:, None]
    logs, log_y = logs - logs.mean(), np.log(found.loss)
    with threadpool_limits(1, "blas"):
        return least_squares(law, nearest(law, logs, log_y), logs, log_y)[1]


def off(found: Frontier, parameters: float, tokens: float) -> bool:
    """Whether a run of these sizes is far from the frontier: its loss is above the law's."""
    per = tokens / parameters
    return not found.per_parameter.min() / APART <= per <= found.per_parameter.max() * APART
