"""Reasons to refuse a fit: few runs, a narrow range, correlated sizes, no better than a constant."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.scaling.laws import Law, log_law
from w2v_jax.scaling.robust import LOGS, Misfit, refit

DECADE = 10.0
_ROUNDED = 0.01  # of a decade: sizes in whole steps seldom span it exactly
BEATS = 0.8  # largest allowed ratio of the law's cross-validated error to the constant's
_TOGETHER = 0.999  # correlation of log N and log D above which their terms cannot be told apart
_ALL_LEFT_OUT = 20  # up to this many runs, each is left out once; beyond, ten folds
_FOLDS = 10


def check_columns(law: str, columns: Mapping[str, np.ndarray]) -> None:
    """ValueError for columns that are not arrays [n] of one length; UserError for a number that is not positive."""
    if len({column.shape for column in columns.values()}) > 1 or any(column.ndim != 1 for column in columns.values()):
        raise ValueError(f"{law}: {', '.join(columns)} must be arrays [n] of one length")
    for name, column in columns.items():
        bad = ~(np.isfinite(column) & (column > 0))
        if bad.any():
            at = int(bad.argmax())
            raise UserError(f"{law}: {name} is {column[at]} at run {at}; it must be a positive number")


def refuse(law: Law, sizes: np.ndarray) -> str | None:
    """Why runs of these sizes [n, K] cannot be fitted, or None."""
    needed = law.parameters + 1
    if len(sizes) < needed:
        return f"{len(sizes)} run(s) for {law.parameters} parameters; at least {needed} are needed to tell their error"
    for name, column in zip(law.sizes, sizes.T, strict=True):
        ratio = column.max() / column.min()
        if ratio < DECADE * (1 - _ROUNDED):
            span = f"a factor of {ratio:.3g}, from {column.min():.4g} to {column.max():.4g}"
            return f"{name} spans {span}; at least one decade (10) is needed"
    distinct = len(np.unique(sizes, axis=0))
    if distinct < law.parameters:
        return f"{distinct} different sizes for {law.parameters} parameters; at least {law.parameters} are needed"
    if len(law.sizes) == 2:
        together = np.corrcoef(np.log(sizes.T))[0, 1]
        if abs(together) > _TOGETHER:
            why = f"{' and '.join(law.sizes)} move together (correlation of logarithms {together:.4f})"
            return f"{why}, so their terms cannot be told apart; vary one at a fixed other"
    return None


def error_ratio(
    law: Law, theta: np.ndarray, logs: np.ndarray, log_y: np.ndarray, seed: int, misfit: Misfit = LOGS
) -> float:
    """Cross-validated mean |error| of log y under the law, over that under a constant (the median of the other runs).

    Up to 20 runs are left out one at a time, more in ten random folds drawn from `seed`. Refits start from the fit of
    all runs, and minimise the same `misfit`. A law beats a constant at a ratio of 0.8 or less; a law fitted to pure
    noise has about 1.
    """
    n = len(log_y)
    fold = np.arange(n)
    if n > _ALL_LEFT_OUT:
        fold = np.random.default_rng(seed).permutation(n) % _FOLDS
    count = int(fold.max()) + 1
    kept = (fold != np.arange(count)[:, None]).astype(np.float64)
    thetas, _ = refit(law, np.tile(theta, (count, 1)), logs, np.tile(log_y, (count, 1)), kept, misfit=misfit)
    law_error = np.abs(log_y - log_law(law, thetas, logs)[fold, np.arange(n)])
    constants = np.array([np.median(log_y[fold != k]) for k in range(count)])
    constant_error = np.abs(log_y - constants[fold])
    if not constant_error.any():
        return np.inf  # losses that do not differ at all
    return float(law_error.mean() / constant_error.mean())
