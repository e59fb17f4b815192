"""What a law says of a run that was not made: its loss with the interval of one further run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import t
from threadpoolctl import threadpool_limits

from w2v_jax.scaling import profile
from w2v_jax.scaling.fitted import LEVEL, Fit, Value, bounds
from w2v_jax.scaling.laws import log_law


class Expected(NamedTuple):
    """A loss in nats a token, with two 95 % intervals."""

    loss: Value  # of one further run: the law may be off, and the run has noise of its own
    law: Value  # of the law alone, the mean of many such runs


def expect(fit: Fit, *sizes: float) -> Expected:
    """The law at one size for each of its terms.

        log loss = v, in [v - sqrt((v - low)^2 + (t s)^2), v + sqrt((high - v)^2 + (t s)^2)]

    with [low, high] the law's own interval, s the noise of log loss about the law and t Student's quantile with the
    runs less the parameters as degrees of freedom. An infinite end of the law is free.

    Raises ValueError: another number of sizes, or one that is not positive.
    """
    point = np.asarray(sizes, np.float64)
    if len(point) != len(fit.law.sizes) or not (np.isfinite(point) & (point > 0)).all():
        raise ValueError(f"sizes={sizes}: must be {len(fit.law.sizes)} positive numbers: {', '.join(fit.law.sizes)}")
    at = (np.log(point) - fit.centres)[None]

    def quantity(theta: np.ndarray) -> np.ndarray:
        """log loss [...] of laws [..., P]."""
        return log_law(fit.law, theta, at)[..., 0]

    value = float(quantity(fit.theta))
    if fit.whole:
        with threadpool_limits(1, "blas"):
            low, high = profile.ends(fit.law, fit.theta, np.log(fit.sizes) - fit.centres, np.log(fit.y), quantity)
        low, high = min(low, value), max(high, value)
    else:
        low, high = map(float, bounds(quantity(fit.samples)))
    own = float(t.ppf((1 + LEVEL) / 2, fit.points - fit.law.parameters)) * fit.noise
    further = value, value - np.hypot(value - low, own), value + np.hypot(high - value, own)
    with np.errstate(over="ignore"):
        return Expected(*(Value(*np.exp(three).tolist()) for three in (further, (value, low, high))))


def widened(found: Expected, half: float) -> Expected:
    """`found` with `half`, more noise of one run, in both ends of its loss: half a 95 % interval of log loss."""
    value, low, high = np.log(found.loss)
    ends = value - np.hypot(value - low, half), value + np.hypot(high - value, half)
    return found._replace(loss=Value(found.loss.value, *map(float, np.exp(ends))))
