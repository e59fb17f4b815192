"""Whether the best learning rate of an arm's smallest model suits its others, from runs at one list of rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.scaling.records import DIVERGED, FINISHED, Record


class Tried(NamedTuple):
    """One size at every rate."""

    parameters: int
    without_embeddings: int
    rates: np.ndarray  # float [k], rising
    losses: np.ndarray  # float [k], means over the seeds; inf where a run diverged

    @property
    def best(self) -> int:
        """Index of the lowest loss."""
        return int(np.argmin(self.losses))

    def regret(self, rate: float) -> float:
        """Loss at the tried rate nearest to `rate` over the lowest loss, less 1."""
        return float(self.losses[np.argmin(np.abs(np.log(self.rates / rate)))] / self.losses[self.best] - 1.0)

    @property
    def at_an_end(self) -> bool:
        """Whether the best rate is the least or the greatest that was tried."""
        return self.best in (0, len(self.rates) - 1)


def tried(records: Sequence[Record]) -> dict[tuple[str, int], list[Tried]]:
    """By arm and tokens, its sizes, the smallest first. A run that failed is left out, one that diverged has loss inf.

    A rate counts for a size only where every seed of that size has a run with it.
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
    most = max(len(seeds) for seeds in rates.values())
    whole = sorted((rate, float(np.mean(list(seeds.values())))) for rate, seeds in rates.items() if len(seeds) == most)
    x, y = np.array(whole).T
    return Tried(*size, x, y)
