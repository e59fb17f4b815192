"""The frontier of a study: the runs that no cheaper one beats, and the law of loss by compute along it.

    L(C) = A/C^alpha

C are training FLOPs at the best split between parameters and tokens (Kaplan et al. 2020, arXiv 2001.08361, equation
1.3: .050 for alpha). No floor is fitted: a frontier of some ten runs says nothing of it. A law of N and D has to hold
where runs are far from the frontier too, and pays for it with a wrong form; this one says nothing of such runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from w2v_jax.scaling.fit import fit_power
from w2v_jax.scaling.fitted import Fit, Refusal

APART = 2.0  # factor outside the tokens a parameter of the frontier from which a run is not taken to be on it


class Frontier(NamedTuple):
    """K runs by rising cost."""

    flops: np.ndarray  # float64 [K]
    loss: np.ndarray  # float64 [K], falling: the geometric mean of runs that differ by their seeds, nats a token
    per_parameter: np.ndarray  # float64 [K] tokens a parameter


def frontier(n: np.ndarray, d: np.ndarray, c: np.ndarray, loss: np.ndarray) -> Frontier:
    """Of runs of N parameters, D tokens and C FLOPs, each float [n]: those below all that cost no more."""
    sizes, cell = np.unique(np.stack([c, n, d], -1), axis=0, return_inverse=True)
    means = np.exp(np.bincount(cell.ravel(), np.log(loss)) / np.bincount(cell.ravel()))
    order = np.lexsort((means, sizes[:, 0]))
    sizes, means = sizes[order], means[order]
    best = means < np.minimum.accumulate(np.concatenate([[np.inf], means[:-1]]))
    return Frontier(sizes[best, 0], means[best], sizes[best, 2] / sizes[best, 1])


def fit_frontier(found: Frontier, floor: float = 0.0) -> Fit | Refusal:
    """L(C) - floor = A/C^alpha, with the intervals and refusals of `fit.fit_power`."""
    return fit_power(found.flops, found.loss - floor, floor=False, symbol="C")


def off(found: Frontier, parameters: float, tokens: float) -> bool:
    """Whether a run of these sizes is far from the frontier: its loss is above the law's."""
    per = tokens / parameters
    return not found.per_parameter.min() / APART <= per <= found.per_parameter.max() * APART
