"""What a budget buys by a fitted surface, with intervals, and how far parabolas through the same runs would be off.

A parabola in log N at equal FLOPs (approach 2 of Hoffmann et al. 2022) is no law of loss: without any noise its minimum
is beside the optimum wherever the two exponents differ, the sizes are not centred, or the centre drifts with the
budget, and the error grows with the width of the grid (Czech et al. 2026, arXiv 2603.22339). The surface has no such
bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from w2v_jax.scaling import profile
from w2v_jax.scaling.fitted import Fit, Value, bounds, predict
from w2v_jax.scaling.isoflop import FLOPS_A_TOKEN, Isoflop, Optimum, compute_optimal, fit_isoflop
from w2v_jax.scaling.laws import PARAMETRIC, named


class Allocation(NamedTuple):
    """The compute-optimal run of one budget."""

    flops: float
    n: Value  # parameters
    d: Value  # tokens
    loss: Value  # of the law: the interval is not that of one further run
    times: float  # the budget over the FLOPs (6 N D) of the largest run fitted


class Bias(NamedTuple):
    """Parameters that parabolas recommend for a budget, over the optimum of the surface from which they were made."""

    flops: float
    share: float  # less 1: +0.06 is 6 % too many


def allocate(fit: Fit, flops: float) -> Allocation:
    """The least loss of a fitted L(N, D) at 6 N D = C, with 95 % intervals of N, D and the loss.

    Of a region of laws (few runs) the intervals are those of `profile`, otherwise the quantiles of the bootstrap
    draws. An infinite end is free. ValueError: the fit is not of L(N, D); the budget is not a positive number.
    """
    if fit.law.sizes != PARAMETRIC.sizes or fit.law.joint:
        raise ValueError(f"allocate needs a fit of {PARAMETRIC.formula}, not of {fit.law.formula}")
    if not (np.isfinite(flops) and flops > 0):
        raise ValueError(f"flops={flops}: must be a positive number")
    with threadpool_limits(1, "blas"):
        n, loss = (_interval(fit, flops, part) for part in ("n", "loss"))
    d = Value(*(flops / FLOPS_A_TOKEN / x if x else np.inf for x in (n.value, n.high, n.low)))
    return Allocation(flops, n, d, loss, flops / (FLOPS_A_TOKEN * fit.sizes.prod(1).max()))


def _interval(fit: Fit, flops: float, part: str) -> Value:
    def quantity(theta: np.ndarray) -> np.ndarray:
        """log N or log loss at the optimum, float [...], of theta [..., P]."""
        with np.errstate(all="ignore"):
            return np.log(getattr(_optimum(fit, theta, flops), part))

    value = float(quantity(fit.theta))
    if fit.whole:
        low, high = profile.ends(fit.law, fit.theta, np.log(fit.sizes) - fit.centres, np.log(fit.y), quantity)
        low, high = min(low, value), max(high, value)
    else:
        low, high = map(float, bounds(quantity(fit.samples)))
    with np.errstate(over="ignore"):
        return Value(*np.exp([value, low, high]).tolist())


def _optimum(fit: Fit, theta: np.ndarray, flops: float) -> Optimum:
    return compute_optimal(named(fit.law, theta, fit.centres), flops)


def design_bias(fit: Fit, flops: np.ndarray, budgets: np.ndarray | None, at: Sequence[float]) -> list[Bias] | None:
    """The bias of parabolas through runs like these: the surface at their N and D without noise, fitted again.

    `flops` [n] and `budgets` are those of `fit_isoflop`, `at` the budgets in question, FLOPs of the same count. The
    parabolas' N is compared with the optimum of the surface by that count. None: they give no law.
    """
    exact = predict(fit, *fit.sizes.T)
    found = fit_isoflop(fit.sizes[:, 0], flops, exact, budgets=budgets, resamples=1)
    if not isinstance(found, Isoflop) or not found.values:
        return None
    k, a = found.values["k_N"].value, found.values["a"].value
    return [Bias(c, float(k * c**a / _counted(fit, flops, c)) - 1.0) for c in at]


def _counted(fit: Fit, flops: np.ndarray, budget: float) -> float:
    """The best N of the surface where training costs C = r N^(1 + q) D, r and q by the runs' own FLOPs; q = 0 and r = 6
    where these are 6 N D. Of A/N^alpha + B/D^beta with D = C / (r N^(1 + q)) the least is at

        N^(alpha + (1 + q) beta) = alpha A / ((1 + q) beta B) (C/r)^beta
    """
    n, d = fit.sizes.T
    q, log_r = np.polyfit(np.log(n), np.log(flops / (n * d)), 1)
    values = named(fit.law, fit.theta, fit.centres)
    a, b, alpha, beta = (float(values[key]) for key in ("A", "B", "alpha", "beta"))
    power = alpha + (1 + q) * beta
    return float(np.exp((np.log(alpha * a / ((1 + q) * beta * b)) + beta * (np.log(budget) - log_r)) / power))
