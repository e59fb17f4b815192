"""The law of the frontier with an offset of either sign.

    L(C) = E + A/C^alpha,  E < min L

Above zero E is a floor. Below zero it is none: the loss falls faster than a power of compute in the range of the runs,
which a floor cannot say; as E goes to minus infinity the law becomes a line in log C.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import t

from w2v_jax.scaling.expected import Expected
from w2v_jax.scaling.fitted import LEVEL, Fit, Refusal, Value
from w2v_jax.scaling.frontier import Frontier, fit_frontier

NAME = "L(C) = E + A C^-alpha, E of either sign"
PARAMETERS = 3
_DISTANCES = np.geomspace(1e-3, 1e2, 2001)  # of E below the lowest loss, in shares of it; at the far end E is free


class Offset(NamedTuple):
    """The law at every E that was tried, each with the A and alpha that suit it. Arrays are float64 [G, ...]."""

    tried: np.ndarray  # [G], E in nats, falling
    lines: np.ndarray  # [G, 2], (log(L - E) at the mean log C, -alpha)
    inverse: np.ndarray  # [G, 2, 2], of the weighted normal matrix
    squares: np.ndarray  # [G], of the residuals of log loss
    centre: float  # mean log C
    points: int

    @property
    def best(self) -> int:
        """Which E is closest to the points."""
        return int(np.argmin(self.squares))

    @property
    def noise(self) -> float:
        """Standard deviation of log loss about the law, three degrees of freedom taken off."""
        return float(np.sqrt(self.squares[self.best] / (self.points - PARAMETERS)))

    @property
    def bound(self) -> float:
        """The squares above which a law is ruled out (95 %, F of one parameter)."""
        return float(self.squares[self.best] + (self.student * self.noise) ** 2)

    @property
    def student(self) -> float:
        """Student's quantile for 95 %."""
        return float(t.ppf((1 + LEVEL) / 2, self.points - PARAMETERS))

    def values(self) -> dict[str, Value]:
        """A, alpha and E with the ranges of the laws that are not ruled out; an end that is free is infinite."""
        kept, logs = self.squares <= self.bound, self.lines[:, 0] - self.lines[:, 1] * self.centre
        found = {}
        for name, column in (("A", np.exp(logs)), ("alpha", -self.lines[:, 1]), ("E", self.tried)):
            found[name] = Value(float(column[self.best]), float(column[kept].min()), float(column[kept].max()))
        return found | ({"E": found["E"]._replace(low=-np.inf)} if kept[-1] else {})

    def expect(self, flops: float) -> Expected:
        """The loss of a further run: the profile of the law at C, over all E, joined with the noise of one run.

            low = min over E of E + exp(y - h),  h = sqrt((bound - squares) x' (X'WX)^-1 x),  y = x' line

        and high alike. ValueError: FLOPs that are not positive.
        """
        if not (np.isfinite(flops) and flops > 0):
            raise ValueError(f"flops={flops}: must be a positive number")
        x = np.array([1.0, np.log(flops) - self.centre])
        y, kept = self.lines @ x, self.squares <= self.bound
        half = np.sqrt(np.maximum(self.bound - self.squares, 0.0) * (self.inverse @ x @ x))
        low = max(float((self.tried + np.exp(y - half))[kept].min()), np.finfo(np.float64).tiny)
        high = float((self.tried + np.exp(y + half))[kept].max())
        value, own = float(self.tried[self.best] + np.exp(y[self.best])), self.student * self.noise
        centre = np.log(value)
        ends = centre - np.hypot(centre - np.log(low), own), centre + np.hypot(np.log(high) - centre, own)
        return Expected(Value(value, *map(float, np.exp(ends))), Value(value, low, high))


def fit_offset(found: Frontier) -> Offset | Refusal:
    """The least squares of log loss at every E. The residual of log L is that of log(L - E) times (L - E) / L, to first
    order, which is the weight of the line that is fitted to log(L - E)."""
    points = len(found.loss)
    if points <= PARAMETERS:
        return Refusal(NAME, f"{points} point(s) of the frontier: at least {PARAMETERS + 1} are needed")
    log_c = np.log(found.flops)
    centre = float(log_c.mean())
    x = np.stack([np.ones(points), log_c - centre], -1)
    tried = found.loss.min() * (1.0 - _DISTANCES)
    above = found.loss - tried[:, None]
    weights, y = (above / found.loss) ** 2, np.log(above)
    inverse = np.linalg.inv(np.einsum("gn,ni,nj->gij", weights, x, x))
    lines = np.einsum("gij,gn,nj->gi", inverse, weights * y, x)
    squares = (weights * (y - lines @ x.T) ** 2).sum(-1)
    return Offset(tried, lines, inverse, squares, centre, points)


def as_fit(found: Frontier, offset: Offset | Refusal) -> Fit | Refusal:
    """The law in the form in which others are printed and recorded."""
    if isinstance(offset, Refusal):
        return offset
    fit, values = fit_frontier(found, float(offset.tried[offset.best])), offset.values()
    if isinstance(fit, Refusal):
        return fit
    sign = "no floor or one: the runs do not show which"
    if values["E"].high < 0:
        sign = "below zero, no floor: the loss falls faster than a power of the FLOPs"
    elif values["E"].low > 0:
        sign = "a floor"
    law = fit.law._replace(formula=NAME)
    return fit._replace(law=law, values=values, noise=offset.noise, notes=(f"E is {sign}",))
