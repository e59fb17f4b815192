"""Laws of one size alone: of N among the runs of the most tokens, of D among those of the largest model, of C."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from w2v_jax.scaling.fit import fit_power
from w2v_jax.scaling.fitted import Fit, Refusal
from w2v_jax.scaling.frontier import fit_frontier, frontier

MOST = 0.97  # of the greatest amount of text from which a run has it, up to rounding to whole steps


class Single(NamedTuple):
    """Fits to runs of one family."""

    by_size: Fit | Refusal  # of N, the runs of the most tokens
    by_size_floor: Fit | Refusal
    by_tokens: Fit | Refusal  # of D, the runs of the largest model
    by_tokens_floor: Fit | Refusal
    frontier: Fit | Refusal  # of C, the runs that no cheaper run equals

    def named(self) -> dict[str, Fit | Refusal]:
        """Results by the quantity that loss is fitted against."""
        return {
            "N, at the most tokens": self.by_size,
            "N, at the most tokens, with floor": self.by_size_floor,
            "D, at the largest size": self.by_tokens,
            "D, at the largest size, with floor": self.by_tokens_floor,
            "C, no cheaper run is better": self.frontier,
        }


def fit_single(n: np.ndarray, d: np.ndarray, c: np.ndarray, loss: np.ndarray) -> Single:
    """Of runs of N parameters, D tokens, C FLOPs and a loss in nats a token, each float [n]."""
    most, largest = d > MOST * d.max(), n == n.max()
    return Single(
        fit_power(n[most], loss[most], floor=False, symbol="N"),
        fit_power(n[most], loss[most], floor=True, symbol="N"),
        fit_power(d[largest], loss[largest], floor=False, symbol="D"),
        fit_power(d[largest], loss[largest], floor=True, symbol="D"),
        fit_frontier(frontier(n, d, c, loss)),
    )
