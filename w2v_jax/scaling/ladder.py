"""Two steps from compute to the accuracy of a task: the loss of the task by the runs' sizes, the accuracy by that loss.

Bhagia et al. 2024, arXiv 2412.04403:

    loss(N, D)     = E + A / N^alpha + B / D^beta
    accuracy(loss) = b + a / (1 + exp(-k (loss - x0))),  a <= 0, x0 >= 0, k >= 0, 0 <= b <= 1

With `plain` the curve from 0 to 1 (a = -1, b = 1, x0 free) is taken unless the other two numbers pay for themselves:
runs that all lie near chance say nothing about a jump beyond them, and four free numbers put one there.

Step 1 is fitted to the last checkpoints of runs, step 2 to all of their checkpoints: accuracy may be at chance where
the loss already falls, so a law of accuracy itself does not see what larger models will do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import t
from threadpoolctl import threadpool_limits

from w2v_jax.errors import UserError
from w2v_jax.scaling import profile
from w2v_jax.scaling.fitted import LEVEL, Value
from w2v_jax.scaling.laws import PARAMETRIC, log_law
from w2v_jax.scaling.projection import minimise
from w2v_jax.scaling.robust import LOGS

LAST = 5  # checkpoints whose mean is the end of a run
WINDOW = 5  # checkpoints of a moving mean
SKIPPED = 0.1  # of a run, its noisy start
PERFECT = (0.0, 1.0)  # loss and accuracy of a perfect model, one point more
_BOUNDS = ([-np.inf, 0.0, 0.0, 0.0], [0.0, np.inf, np.inf, 1.0])  # of a, x0, k, b
_STEPS = 20_000  # of the search; it needs some tens


class Run(NamedTuple):
    """A run on one task: its parameters and tokens, and float64 [n] loss and accuracy of its checkpoints in order."""

    parameters: float
    tokens: float
    loss: np.ndarray
    accuracy: np.ndarray


class Link(NamedTuple):
    """The accuracy that a loss of the task has."""

    a: float
    x0: float
    k: float
    b: float

    def __call__(self, loss: np.ndarray | float) -> np.ndarray:
        return _sigmoid(np.asarray(loss, np.float64), *self)


class SecondStep(NamedTuple):
    """The fitted curve of accuracy by loss, the curves of draws of its runs, and the noise of one more run."""

    link: Link
    drawn: tuple[Link, ...]
    runs: int
    noise: float = 0.0  # half of the 95 % interval

    def at(self, loss: float) -> Value:
        """The accuracy of a loss, with the interval of Student's t by the deviation of the draws.

        Draws of few runs vary too little, by the square root of (runs - 1) / runs.
        """
        value, deviation = float(self.link(loss)), float(np.std([each(loss) for each in self.drawn], ddof=1))
        reach = float(t.ppf((1 + LEVEL) / 2, self.runs - 1)) * deviation * np.sqrt(self.runs / (self.runs - 1))
        reach = float(np.hypot(reach, self.noise))
        return Value(value, value - reach, value + reach)

    def through(self, loss: Value) -> Value:
        """The accuracy of a loss that is forecast: both intervals, added as squares."""
        there = self.at(loss.value)
        best, worst = (float(self.link(end)) for end in (loss.low, loss.high))  # accuracy falls with the loss
        low = there.value - np.hypot(there.value - there.low, there.value - worst)
        high = there.value + np.hypot(there.high - there.value, best - there.value)
        return Value(there.value, float(low), float(high))


class Ladder(NamedTuple):
    """A task's two steps for one model, each with its 95 % interval.

    `loss` is forecast by N and D, `accuracy` by both steps, `known` by step 2 alone from the loss that was measured.
    `link` is step 2.
    """

    loss: Value
    accuracy: Value
    known: Value
    link: Link


def climb(
    runs: Sequence[Run], parameters: float, tokens: float, measured: float, *, seed: int = 0, resamples: int = 100
) -> Ladder:
    """The ladder of `runs` for a model of this size, whose measured loss is `measured`.

    Step 1 minimises the Huber loss of log loss (delta 1e-3) at the mean of the last `LAST` checkpoints; step 2 the
    squares of accuracy over all checkpoints but the first tenth, both smoothed by a trailing mean of `WINDOW`, and the
    point `PERFECT`. Intervals: of the loss as `expected.expect`, the law's own and the noise of one more run; of step 2
    by `resamples` draws of whole runs with replacement; of the accuracy both, added as squares.

    UserError: fewer runs than the numbers of step 1; no search found a step 2.
    """
    if len(runs) <= PARAMETRIC.parameters:
        raise UserError(f"{len(runs)} run(s) for a ladder: at least {PARAMETRIC.parameters + 1} are needed")
    with threadpool_limits(1, "blas"):
        loss = _end(runs, parameters, tokens)
        step = second_step([_points(run) for run in runs], seed=seed, resamples=resamples)
    return Ladder(loss, step.through(loss), step.at(measured), step.link)


def _end(runs: Sequence[Run], parameters: float, tokens: float) -> Value:
    """Step 1: the loss at the end of one further run, with the profile interval of the law and the noise of a run."""
    sizes = np.log([(run.parameters, run.tokens) for run in runs])
    centres = sizes.mean(0)
    logs, ends = sizes - centres, np.log([run.loss[-LAST:].mean() for run in runs])
    at = np.log([[parameters, tokens]]) - centres

    def log_loss(theta: np.ndarray) -> np.ndarray:
        return log_law(PARAMETRIC, theta, at)[..., 0]

    theta = minimise(PARAMETRIC, logs, ends, LOGS)
    free = len(runs) - PARAMETRIC.parameters
    noise = float(np.sqrt(((ends - log_law(PARAMETRIC, theta, logs)) ** 2).sum() / free))
    own = float(t.ppf((1 + LEVEL) / 2, free)) * noise
    value = float(log_loss(theta))
    low, high = profile.ends(PARAMETRIC, theta, logs, ends, log_loss)
    three = value, value - np.hypot(max(value - low, 0.0), own), value + np.hypot(max(high - value, 0.0), own)
    return Value(*np.exp(three).tolist())


def second_step(
    points: Sequence[np.ndarray],
    perfect: tuple[float, float] | None = PERFECT,
    *,
    certain: bool = False,
    further: bool = False,
    plain: bool = False,
    seed: int = 0,
    resamples: int = 100,
) -> SecondStep:
    """Step 2 of runs, float64 [2, n] losses and accuracies of each, and the same of draws of whole runs.

    Args:
      points: by run.
      perfect: loss and accuracy of a perfect model, one point more; None for a task whose best accuracy is not known.
      certain: whether `perfect`, a fact, counts as much as all other points together, and not as one of them.
      further: whether the noise of one more run, its accuracy about the curve at the end of a run, is in the intervals.
      plain: whether the curve from 0 to 1 is taken where Akaike's criterion, corrected for few points (Hurvich and Tsai
        1989), prefers it; without `perfect` only. The draws keep the form, so intervals leave out the choice.
      seed: of the draws.
      resamples: their number.

    UserError: the search came to no end.
    """
    rng = np.random.default_rng(seed)
    link, count = _simplest(points) if plain else (_link(points, perfect, certain), len(Link._fields))
    ends = np.array([run[:, -1] for run in points])
    off = ends[:, 1] - link(ends[:, 0])
    free = max(len(points) - count, 1)
    noise = float(np.sqrt((off**2).sum() / free)) * float(t.ppf((1 + LEVEL) / 2, free)) if further else 0.0
    links = []
    for _ in range(resamples):
        drawn = [points[i] for i in rng.integers(0, len(points), len(points))]
        with contextlib.suppress(UserError):  # a draw of few runs may be of one run alone
            links.append(_line(drawn) if count == 2 else _link(drawn, perfect, certain, link))
    if len(links) < 2:
        raise UserError(f"no curve fits {resamples} draws of {len(points)} runs, so it has no interval")
    return SecondStep(link, tuple(links), len(points), noise)


def fit_link(
    loss: np.ndarray, accuracy: np.ndarray, begin: Link | None = None, deviation: np.ndarray | None = None
) -> Link:
    """Step 2 of the least squares, for float64 [n], each point by its `deviation`. UserError: the search came to no
    end.
    """
    start = begin or Link(-0.8, float(np.median(loss)), 4.0, 0.95)
    return Link(*_search(_sigmoid, loss, accuracy, start, _BOUNDS, deviation))


def _search(
    curve: Callable[..., np.ndarray],
    loss: np.ndarray,
    accuracy: np.ndarray,
    start: Sequence[float],
    bounds: tuple[Sequence[float], Sequence[float]],
    deviation: np.ndarray | None = None,
) -> list[float]:
    """The numbers of a curve of the least squares. UserError: the search came to no end."""
    try:
        found, _ = curve_fit(curve, loss, accuracy, p0=start, sigma=deviation, bounds=bounds, maxfev=_STEPS)
    except RuntimeError as error:
        raise UserError(f"no curve of accuracy by loss fits {len(loss)} checkpoints: {error}") from None
    return [float(x) for x in found]


def _simplest(points: Sequence[np.ndarray]) -> tuple[Link, int]:
    """The curve from 0 to 1, or that of four numbers where the criterion prefers it, and how many numbers are free."""
    line = _line(points), 2
    try:
        whole = _link(points, None, False), len(Link._fields)
    except UserError:  # no such curve
        return line
    return min(line, whole, key=lambda curve: _criterion(points, *curve))


def _line(points: Sequence[np.ndarray]) -> Link:
    """The curve from 0 to 1 of the least squares. UserError: the search came to no end; all losses are equal."""
    loss, accuracy = np.concatenate(points, 1)
    if np.ptp(loss) == 0:
        raise UserError(f"no curve of accuracy by loss: all {len(loss)} losses are {loss[0]:.4g}")

    def curve(x: np.ndarray, x0: float, k: float) -> np.ndarray:
        return _sigmoid(x, -1.0, x0, k, 1.0)

    x0, k = _search(curve, loss, accuracy, (float(np.median(loss)), 1.0), ([-np.inf, 0.0], [np.inf, np.inf]))
    return Link(-1.0, x0, k, 1.0)


def _criterion(points: Sequence[np.ndarray], link: Link, numbers: int) -> float:
    """Akaike's corrected criterion of a curve of so many free numbers, and the noise; infinite with too few points."""
    loss, accuracy = np.concatenate(points, 1)
    n, p = len(loss), numbers + 1
    if n <= p + 1:
        return float("inf")
    squares = float(((accuracy - link(loss)) ** 2).sum())
    return n * float(np.log(max(squares, 1e-30) / n)) + 2 * p + 2 * p * (p + 1) / (n - p - 1)


def trailing(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """The mean of each value and up to `window` - 1 before it, float64 [n]."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - window, 0)
    return (sums[last] - sums[first]) / (last - first)


def _points(run: Run) -> np.ndarray:
    """Smoothed loss and accuracy [2, n] of a run's checkpoints after its start."""
    skip = int(np.ceil(SKIPPED * len(run.loss)))
    return np.stack([trailing(run.loss[skip:]), trailing(run.accuracy[skip:])])


def _link(
    points: Sequence[np.ndarray], perfect: tuple[float, float] | None, certain: bool, begin: Link | None = None
) -> Link:
    """Step 2 of checkpoints, a [2, n] for each run, and the point `perfect`."""
    more = [] if perfect is None else [np.array(perfect)[:, None]]
    loss, accuracy = np.concatenate([*points, *more], 1)
    deviation = np.ones(len(loss))
    if perfect is not None and certain:
        deviation[-1] = (len(loss) - 1) ** -0.5
    return fit_link(loss, accuracy, begin, deviation)


def _sigmoid(loss: np.ndarray, a: float, x0: float, k: float, b: float) -> np.ndarray:
    return b + a / (1.0 + np.exp(np.clip(-k * (loss - x0), -500.0, 500.0)))
