"""Results of a fit: values with intervals, the law as a function with bands, or the reason for no fit."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from w2v_jax.scaling.laws import LEVEL as LEVEL
from w2v_jax.scaling.laws import Law, log_law, named
from w2v_jax.scaling.robust import LARGEST_EXPONENT, LOGS, Misfit

FAR = 2.0  # times the largest run: beyond is extrapolation
FREE_EXPONENT = 0.99 * LARGEST_EXPONENT  # an interval that reaches it has no end


class Value(NamedTuple):
    """A number and its 95 % interval; nan bounds where a source gives none."""

    value: float
    low: float
    high: float

    def covers(self, true: float) -> bool:
        """Whether the interval, ends included, holds `true`."""
        return bool(self.low <= true <= self.high)


def finite(x: float) -> float | None:
    """A number for JSON; None for a bound that is not known, or free."""
    return x if math.isfinite(x) else None


class Refusal(NamedTuple):
    """The reason for no fit, in one line."""

    law: str
    reason: str


class Heldout(NamedTuple):
    """Predictions of the largest runs, by size, from a fit of the others, beside a rule that needs no law."""

    sizes: np.ndarray  # float [h, K]
    actual: np.ndarray  # float [h]
    predicted: np.ndarray  # float [h]
    copied: np.ndarray  # float [h], the lowest loss of any smaller run

    @property
    def relative_errors(self) -> np.ndarray:
        """predicted / actual - 1, float [h]."""
        return np.asarray(self.predicted / self.actual - 1.0)

    @property
    def copied_errors(self) -> np.ndarray:
        """copied / actual - 1, float [h]."""
        return np.asarray(self.copied / self.actual - 1.0)


class Fit(NamedTuple):
    """A fitted law. Arrays are float64, for K sizes per run, P parameters, n runs and B bootstrap draws."""

    law: Law
    values: dict[str, Value]
    sizes: np.ndarray  # [n, K], as given
    y: np.ndarray  # [n]
    theta: np.ndarray  # [P], see `laws`
    centres: np.ndarray  # [K]
    samples: np.ndarray  # [B, P], laws that the runs do not rule out
    whole: bool  # whether the samples are a region, whose range is the interval; otherwise bootstrap draws
    noise: float  # standard deviation of log y about the law, P degrees of freedom taken off
    error_ratio: float  # cross-validated error of the law over that of a constant; see `checks`
    heldout: Heldout | None  # None: too few runs are left without the largest
    notes: tuple[str, ...]  # for the reader, one line each
    misfit: Misfit = LOGS  # what was minimised

    @property
    def points(self) -> int:
        """Number of runs."""
        return len(self.y)

    @property
    def smallest(self) -> tuple[float, ...]:
        """The least of each size."""
        return tuple(self.sizes.min(0).tolist())

    @property
    def largest(self) -> tuple[float, ...]:
        """The greatest of each size."""
        return tuple(self.sizes.max(0).tolist())


def predict(fit: Fit, *sizes: np.ndarray | float) -> np.ndarray:
    """The law at one array for each of its sizes, which broadcast; returns their shape."""
    logs, shape = _logs(fit, sizes)
    return np.asarray(np.exp(log_law(fit.law, fit.theta, logs))).reshape(shape)


def band(fit: Fit, *sizes: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise lower and upper bounds of the law, not of a further run; shapes as in `predict`."""
    logs, shape = _logs(fit, sizes)
    low, high = np.exp(bounds(log_law(fit.law, fit.samples, logs), fit.whole))
    return low.reshape(shape), high.reshape(shape)


def bounds(samples: np.ndarray, whole: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The 2.5 % and 97.5 % quantiles of draws [B, ...], or the range of a region; nan is left out."""
    outer = [0.0, 1.0] if whole else [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.nanquantile(samples, outer, axis=0)
    return low, high


def interval(value: float, samples: np.ndarray, whole: bool = False) -> Value:
    """The value with the bounds of its samples; a region may lie beside the value, and is joined to it."""
    low, high = map(float, bounds(samples, whole))
    return Value(float(value), min(low, float(value)), max(high, float(value))) if whole else Value(value, low, high)


def draws(fit: Fit) -> dict[str, np.ndarray]:
    """Coefficients, exponents and floor of each bootstrap draw, float [B] by name."""
    return named(fit.law, fit.samples, fit.centres)


def _logs(fit: Fit, sizes: tuple[np.ndarray | float, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    if len(sizes) != len(fit.law.sizes):
        raise ValueError(f"the {fit.law.name} takes {len(fit.law.sizes)} size(s), not {len(sizes)}")
    arrays = np.broadcast_arrays(*(np.asarray(s, np.float64) for s in sizes))
    return np.stack([np.log(a.ravel()) for a in arrays], -1) - fit.centres, arrays[0].shape
