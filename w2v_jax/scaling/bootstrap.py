"""Laws that the runs do not rule out, from which intervals are made: bootstrap draws, or with few runs a region."""

from __future__ import annotations

from typing import Literal

import numpy as np

from w2v_jax.scaling.laws import Law
from w2v_jax.scaling.projection import starts
from w2v_jax.scaling.region import region
from w2v_jax.scaling.robust import LOGS, Misfit, refit

Method = Literal["auto", "runs", "region"]
METHODS: tuple[Method, ...] = ("auto", "runs", "region")
ENOUGH = 5  # runs a parameter from which "auto" draws runs
_STEEP = 2.0  # an exponent from which a draw is fitted again
_NOTHING = 1e-3  # a floor below this share of the lowest loss, likewise


def resample(
    law: Law,
    theta: np.ndarray,
    logs: np.ndarray,
    log_y: np.ndarray,
    *,
    seed: int,
    resamples: int,
    method: Method,
    misfit: Misfit = LOGS,
) -> tuple[np.ndarray, bool]:
    """Laws [B, P], and whether they are a region: then their range is the interval, otherwise their quantiles.

    "runs": runs are drawn with replacement, as in Besiroglu et al. 2024 (arXiv 2404.10102). Noise may differ between
    sizes. Each draw lacks a third of the sizes, so with few runs the intervals are far too wide.

    "region": see `region`. It assumes that the law is true and that the noise of log y is the same at all sizes.

    "auto": "runs" from five runs a parameter, "region" below.

    Arrays are theta [P], the best fit, logs [n, K], log sizes less their centres, and log_y [n]. `resamples` is the
    number of draws and `seed` theirs; a region draws nothing.
    """
    n = len(log_y)
    if method == "region" or (method == "auto" and n < ENOUGH * law.parameters):
        return region(law, theta, logs, log_y), True
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1.0 / n), resamples).astype(np.float64)
    many = np.tile(log_y, (resamples, 1))
    found, value = refit(law, np.tile(theta, (resamples, 1)), logs, many, weights, misfit=misfit)
    again = np.flatnonzero(_stuck(law, found, float(log_y.min())))
    if len(again):
        begin = np.tile(starts(law, logs, log_y[None]), (len(again), 1))
        other, lower = refit(law, begin, logs, many[again], weights[again], misfit=misfit)
        better = lower < value[again]
        found[again[better]] = other[better]
    return found, False


def _stuck(law: Law, theta: np.ndarray, lowest: float) -> np.ndarray:
    """Laws [B, P] with a floor or a power of almost nothing, which has no slope to leave it by; bool [B]."""
    k = len(law.sizes)
    steep = (np.abs(theta[:, k : 2 * k]) > _STEEP).any(-1)
    return steep | (theta[:, 2 * k] < lowest + np.log(_NOTHING)) if law.floor else steep
