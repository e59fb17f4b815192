"""Whether the best learning rate of an arm's smallest model suits its others, from runs at one list of rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from w2v_jax.scaling.records import DIVERGED, FINISHED, Record


class Tried(NamedTuple):
    """One size at every rate."""

    parameters: int
    without_embeddings: int
    rates: np.ndarray  # float [k], rising
    by_seed: np.ndarray  # float [k, s], the loss of each seed; inf where a run diverged

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


def tried(records: Sequence[Record]) -> dict[tuple[str, int], list[Tried]]:
    """By arm and tokens, its sizes, the smallest first. A run that failed is left out, one that diverged has loss inf.

    Of a size only those rates are kept that have the same seeds as the rate that has most.
    """
    found: dict[tuple[str, int], dict[tuple[int, int], dict[float, dict[int, float]]]] = {}
    for r in records:
        if r.status == DIVERGED or (r.status == FINISHED and r.heldout_loss is not None):
            sizes = found.setdefault((r.arm, _near(r.tokens, [t for a, t in found if a == r.arm])), {})
            rates = sizes.setdefault((r.parameters, r.parameters_without_embeddings), {})
            loss = math.inf if r.heldout_loss is None else r.heldout_loss
            rates.setdefault(float(r.config["optimizer"]["learning_rate"]), {})[r.seed] = loss
    return {key: [_tried(size, rates) for size, rates in sorted(sizes.items())] for key, sizes in found.items()}


def _near(tokens: float, known: Sequence[int]) -> int:
    """Planned tokens and those of whole steps are one amount."""
    return next((t for t in known if abs(tokens / t - 1.0) < 0.02), round(tokens))


def _tried(size: tuple[int, int], rates: dict[float, dict[int, float]]) -> Tried:
    every = max(map(frozenset[int], rates.values()), key=len)
    whole = sorted((rate, [seeds[s] for s in sorted(seeds)]) for rate, seeds in rates.items() if set(seeds) == every)
    return Tried(*size, np.array([rate for rate, _ in whole]), np.array([losses for _, losses in whole]))
