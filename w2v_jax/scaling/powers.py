"""Products of powers, y = k x_1^a_1 ... x_m^a_m, by least squares of logarithms: what optima and rates follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import t

from w2v_jax.errors import UserError
from w2v_jax.scaling.checks import check_columns
from w2v_jax.scaling.fitted import LEVEL, Value


class Powers(NamedTuple):
    """A fitted product of powers."""

    coefficient: Value  # k
    exponents: dict[str, Value]  # by the name of x
    points: int
    spread: float  # standard deviation of log y about the law; nan without spare points

    def at(self, **x: np.ndarray | float) -> np.ndarray:
        """y at one number or array for each x."""
        logs = sum(self.exponents[name].value * np.log(value) for name, value in x.items())
        return np.asarray(self.coefficient.value * np.exp(logs))


def fit_powers(x: Mapping[str, np.ndarray], y: np.ndarray, weights: np.ndarray | None = None) -> Powers:
    """Fits y [n] by the columns x, float [n] each; `weights` [n] are inverse variances, up to one factor.

    Intervals are Student's; without spare points they are nan.

    UserError: a number that is not positive; fewer points than numbers to fit, or columns that move together.
    """
    columns = {name: np.asarray(values, np.float64) for name, values in x.items()}
    y = np.asarray(y, np.float64)
    w = np.ones_like(y) if weights is None else np.asarray(weights, np.float64)
    check_columns("power law", columns | {"y": y, "weights": w})
    design = np.stack([np.ones_like(y), *(np.log(values) for values in columns.values())], -1)
    n, p = design.shape
    centres = design[:, 1:].mean(0)
    centred = np.concatenate([design[:, :1], design[:, 1:] - centres], -1)
    if np.linalg.matrix_rank(centred) < p:
        raise UserError(f"power law: {n} point(s) do not tell {p} numbers apart; vary {' and '.join(columns)} more")
    root = np.sqrt(w)[:, None]
    found = np.linalg.lstsq(centred * root, np.log(y) * root[:, 0], rcond=None)[0]
    error = np.log(y) - centred @ found
    spare = n - p
    covariance = np.linalg.inv((centred * root).T @ (centred * root))
    variance = (w * error**2).sum() / spare if spare else np.nan
    back = np.concatenate([[1.0], -centres])  # log k = the mean less the exponents times the centres
    reach = t.ppf((1 + LEVEL) / 2, spare) if spare else np.nan
    reaches = reach * np.sqrt(variance * np.array([back @ covariance @ back, *np.diag(covariance)[1:]]))
    middles = np.array([back @ found, *found[1:]])
    k, *others = (Value(float(m), float(m - r), float(m + r)) for m, r in zip(middles, reaches, strict=True))
    spread = float(np.sqrt((error**2).sum() / spare)) if spare else np.nan
    return Powers(Value(*np.exp(k).tolist()), dict(zip(columns, others, strict=True)), n, spread)
