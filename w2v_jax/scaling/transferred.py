"""Whether the best learning rate of an arm's smallest model suits its others, from runs at one list of rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from w2v_jax.scaling.records import DIVERGED, FINISHED, Record


class Dropped(NamedTuple):
    """A rate of one size whose runs are not of the seeds that count."""

    rate: float
    seeds: tuple[int, ...]
    lossless: tuple[int, ...]  # seeds of them that failed, diverged or have no held-out loss


class Tried(NamedTuple):
    """One size at every rate."""

    parameters: int
    without_embeddings: int
    rates: np.ndarray  # float [k], rising
    by_seed: np.ndarray  # float [k, s], the loss of each seed; inf where a run diverged
    seeds: tuple[int, ...] = ()  # of the columns
    dropped: tuple[Dropped, ...] = ()  # rates that are not among those, rising

    @property
    def losses(self) -> np.ndarray:
        """Means over the seeds, float [k]."""
        return np.mean(self.by_seed, axis=1)

    @property
    def best(self) -> int:
        """Index of the lowest loss."""
        return int(np.argmin(self.losses))

    def regret(self, rate: float) -> float:
        """Loss at the tried rate nearest to `rate` over the lowest loss, less 1."""
        return float(self.losses[self._nearest(rate)] / self.losses[self.best] - 1.0)

    def most_regret(self, rate: float, coverage: float = 0.95) -> float:
        """Upper limit of the regret that many seeds would give, among the rates tried; inf for one seed.

        max over rates q of (mean + t s / sqrt(n)), where mean and s are those of the n differences loss(rate) - loss(q)
        of one seed each and t is Student's quantile with n - 1 degrees of freedom; over the lowest loss. The limit of
        the rate that is truly best has the coverage, so the largest of all has at least that. It takes the differences
        to be normal, and `rate` not to be chosen by these runs.
        """
        count = self.by_seed.shape[1]
        own = self.by_seed[self._nearest(rate)]
        ended = self.by_seed[np.isfinite(self.by_seed).all(axis=1)]  # a rate at which a seed diverged is not the best
        if count < 2 or not np.isfinite(own).all():
            return math.inf
        gaps = own - ended
        error = gaps.std(axis=1, ddof=1) / math.sqrt(count)
        most = float(np.max(gaps.mean(axis=1) + stats.t.ppf(coverage, count - 1) * error))
        return most / float(self.losses[self.best])

    def _nearest(self, rate: float) -> int:
        return int(np.argmin(np.abs(np.log(self.rates / rate))))

    @property
    def at_an_end(self) -> bool:
        """Whether the best rate is the least or the greatest that was tried."""
        return self.best in (0, len(self.rates) - 1)

    @property
    def wider(self) -> bool:
        """Whether a dropped rate lies beyond the end at which the best one is."""
        least, most, best = self.rates[0], self.rates[-1], self.rates[self.best]
        return any((best == least and d.rate < least) or (best == most and d.rate > most) for d in self.dropped)


def tried(records: Sequence[Record]) -> dict[tuple[str, int], list[Tried]]:
    """By arm and tokens, its sizes, the smallest first. A run that diverged has loss inf; one that failed has none.

    Of a size only those rates are kept that have the same seeds: the most seeds that a rate has; of several such, those
    that the most rates have, and then the least ones. The other rates are in `dropped`.
    """
    found: dict[tuple[str, int], dict[tuple[int, int], dict[float, dict[int, float]]]] = {}
    for r in records:
        if r.status == DIVERGED or (r.status == FINISHED and r.heldout_loss is not None):
            sizes = found.setdefault((r.arm, _near(r.tokens, [t for a, t in found if a == r.arm])), {})
            rates = sizes.setdefault((r.parameters, r.parameters_without_embeddings), {})
            loss = math.inf if r.heldout_loss is None else r.heldout_loss
            rates.setdefault(float(r.config["optimizer"]["learning_rate"]), {})[r.seed] = loss
    for r in records:  # now all sizes with a loss are known
        sizes = found.get((r.arm, _near(r.tokens, [t for a, t in found if a == r.arm])), {})
        rate = r.config.get("optimizer", {}).get("learning_rate")
        size = r.parameters, r.parameters_without_embeddings
        if r.status != DIVERGED and r.heldout_loss is None and rate is not None and size in sizes:
            sizes[size].setdefault(float(rate), {}).setdefault(r.seed, math.nan)
    return {key: [_tried(size, rates) for size, rates in sorted(sizes.items())] for key, sizes in found.items()}


def _near(tokens: float, known: Sequence[int]) -> int:
    """Planned tokens and those of whole steps are one amount."""
    return next((t for t in known if abs(tokens / t - 1.0) < 0.02), round(tokens))


def _tried(size: tuple[int, int], rates: dict[float, dict[int, float]]) -> Tried:
    """Of {rate: {seed: loss}}; nan is the loss of a run that failed."""
    scored = {rate: tuple(sorted(s for s, loss in own.items() if not math.isnan(loss))) for rate, own in rates.items()}
    sets = list(scored.values())
    every = min(sets, key=lambda seeds: (-len(seeds), -sets.count(seeds), seeds))
    whole = sorted((rate, [rates[rate][s] for s in every]) for rate, seeds in scored.items() if seeds == every)
    dropped = [
        Dropped(rate, tuple(sorted(own)), tuple(s for s in sorted(own) if not math.isfinite(own[s])))
        for rate, own in sorted(rates.items())
        if scored[rate] != every
    ]
    return Tried(
        *size, np.array([rate for rate, _ in whole]), np.array([losses for _, losses in whole]), every, tuple(dropped)
    )
