"""How far a study can be trusted: the spread between its seeds, and what its cheaper runs would have foretold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2, f, t

from w2v_jax.scaling.analysis import columns, fitted_runs
from w2v_jax.scaling.cells import SAME, cells
from w2v_jax.scaling.expected import expect
from w2v_jax.scaling.fit import fit_parametric
from w2v_jax.scaling.fitted import LEVEL, Fit, Refusal, Value
from w2v_jax.scaling.laws import PARAMETRIC, log_law
from w2v_jax.scaling.records import Record

SHARES = (0.01, 0.03, 0.1, 0.3)  # of the most expensive run's FLOPs, up to which runs are fitted
WRONG = 0.01  # chance below which a law is called wrong


class Spread(NamedTuple):
    """Standard deviation of log loss between runs that differ by their seeds alone."""

    deviation: Value  # with its 95 % interval, from chi squared
    sizes: int  # groups of two runs or more
    runs: int
    needed: float  # share of the loss: two single runs must differ by this much to differ at the level of 95 %


class Future(NamedTuple):
    """The most expensive runs as the cheaper ones foretell them."""

    flops: float  # of the most expensive run that was fitted
    runs: int
    times: float  # the target's FLOPs over those
    expected: Value | None  # mean loss of the target's seeds; None: see `reason`
    came: float
    reason: str

    @property
    def error(self) -> float:
        """expected / came - 1; nan without a forecast."""
        return np.nan if self.expected is None else self.expected.value / self.came - 1.0


def spread(records: Sequence[Record]) -> Spread | None:
    """The pooled spread of the finished runs of one arm; None where no two differ by the seed alone."""
    groups: dict[tuple[int, float], list[float]] = {}
    done = [(r, r.heldout_loss) for r in records if r.heldout_loss is not None]
    sizes = np.array([(r.parameters, r.tokens) for r, _ in done], np.float64).reshape(-1, 2)
    for (r, loss), cell in zip(done, cells(sizes).tolist(), strict=True):
        rate = float(r.config.get("optimizer", {}).get("learning_rate", 0.0))
        groups.setdefault((cell, rate), []).append(np.log(loss))
    several = [np.array(own) for own in groups.values() if len(own) > 1]
    free = sum(len(own) - 1 for own in several)
    if not free:
        return None
    squares = sum(float(((own - own.mean()) ** 2).sum()) for own in several)
    low, high = (np.sqrt(squares / chi2.ppf(q, free)) for q in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    deviation = float(np.sqrt(squares / free))
    needed = float(t.ppf((1 + LEVEL) / 2, free)) * deviation * np.sqrt(2)
    return Spread(Value(deviation, float(low), float(high)), len(several), sum(map(len, several)), needed)


class LackOfFit(NamedTuple):
    """Whether runs are farther from a law than their seeds are from one another (Draper & Smith 1998, section 2.1)."""

    ratio: float  # F: mean square of the cells' means about the law over that of the runs about their cells' means
    chance: float  # of an F as large where the law is true

    @property
    def wrong(self) -> bool:
        """At the level of 1 %."""
        return self.chance < WRONG


def lack_of_fit(fit: Fit) -> LackOfFit | None:
    """By the runs that a law was fitted to, where some share their sizes; None elsewhere.

    The deviations are those of log loss, weighted by the runs of a cell. None also where the cells are no more than the
    law's parameters.
    """
    logs = np.log(fit.y)
    cell = cells(fit.sizes)
    runs = np.bincount(cell)
    means = np.bincount(cell, logs) / runs
    pure = float(((logs - means[cell]) ** 2).sum())
    about = float(((logs - log_law(fit.law, fit.theta, np.log(fit.sizes) - fit.centres)) ** 2).sum())
    freedom, own = len(runs) - fit.law.parameters, len(logs) - len(runs)
    if freedom < 1 or own < 1 or not pure:
        return None
    ratio = max(about - pure, 0.0) / freedom / (pure / own)
    return LackOfFit(ratio, float(f.sf(ratio, freedom, own)))


def future(records: Sequence[Record], shares: Sequence[float] = SHARES) -> list[Future]:
    """Fits of the runs of one arm up to each share of the greatest FLOPs, and what they say of the runs there.

    Runs on the plateau of single words are left out. Cuts that leave the same
    runs count once, and those that leave fewer than six are not tried.
    """
    runs, _ = fitted_runs(records)
    if not runs:
        return []
    n, d, c, loss = columns(runs)
    target = c * SAME >= c.max()
    came = float(np.exp(np.log(loss[target]).mean()))
    found, seen = [], set[int]()
    for share in sorted(shares):
        kept = (c <= share * c.max()) & ~target
        count = int(kept.sum())
        if count <= PARAMETRIC.parameters or count in seen:
            continue
        seen.add(count)
        fit = fit_parametric(n[kept], d[kept], loss[kept])
        most = float(c[kept].max())
        if isinstance(fit, Refusal):
            found.append(Future(most, count, c.max() / most, None, came, fit.reason))
        else:
            value = expect(fit, float(n[target].mean()), float(d[target].mean())).loss
            found.append(Future(most, count, c.max() / most, value, came, ""))
    return found
