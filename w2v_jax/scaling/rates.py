"""The best learning rate and batch by size, from runs that vary both: the form of the Step law.

    rate = k N^a D^b,    batch = m D^c    (Li et al. 2025, arXiv 2503.04715)

In each cell of parameters and tokens the runs near the best loss are fitted by a quadratic surface of loss in log rate
and log batch, whose minimum is the cell's optimum; the two laws are least squares of the optima's logarithms. The
plain best run of a cell lies on the grid that was tried, and its noise chooses among equals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.scaling.powers import Powers, fit_powers

NEAR = 0.02  # share of the best loss of a cell up to which its runs count
_FEWEST = 8  # runs near the best, for six numbers of the quadratic surface


class Cell(NamedTuple):
    """The optimum of one amount of parameters and tokens."""

    n: float
    d: float
    rate: float
    batch: float  # tokens
    loss: float
    runs: int  # that the surface was fitted to


class Rates(NamedTuple):
    """The laws of rate and batch."""

    rate: Powers  # of N and D
    batch: Powers  # of D
    cells: tuple[Cell, ...]
    refused: tuple[str, ...]  # cells without an optimum, one line each


def fit_rates(
    n: np.ndarray, d: np.ndarray, rate: np.ndarray, batch: np.ndarray, loss: np.ndarray, *, near: float = NEAR
) -> Rates:
    """Laws of the best rate and batch of runs, float [runs] each: parameters, tokens, rate, tokens a step, loss.

    UserError: fewer than three cells have an optimum within what they tried.
    """
    keys = np.stack([n, d], -1)
    cells, refused = [], []
    for key in np.unique(keys, axis=0):
        own = (keys == key).all(-1)
        found = _optimum(rate[own], batch[own], loss[own], near)
        if isinstance(found, str):
            refused.append(f"N = {key[0]:.4g}, D = {key[1]:.4g}: {found}")
        else:
            cells.append(Cell(float(key[0]), float(key[1]), *found))
    if len(cells) < 3:
        why = f"; the first: {refused[0]}" if refused else ""
        raise UserError(f"rates: {len(cells)} cell(s) of parameters and tokens have an optimum; 3 are needed{why}")
    n_best, d_best, rate_best, batch_best = np.array([cell[:4] for cell in cells]).T
    law = fit_powers({"N": n_best, "D": d_best}, rate_best)
    return Rates(law, fit_powers({"D": d_best}, batch_best), tuple(cells), tuple(refused))


def _optimum(
    rate: np.ndarray, batch: np.ndarray, loss: np.ndarray, near: float
) -> tuple[float, float, float, int] | str:
    """(rate, batch, loss, runs) at the minimum of a cell's quadratic surface, or why there is none."""
    kept = loss <= loss.min() * (1 + near)
    if kept.sum() < _FEWEST:
        return f"{kept.sum()} run(s) within {near:.0%} of the best loss; {_FEWEST} are needed"
    logs = np.log(np.stack([rate[kept], batch[kept]], -1))
    centre = logs.mean(0)
    u, v = (logs - centre).T
    design = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], -1)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return "rate and batch were not varied apart from one another"
    c = np.linalg.lstsq(design, loss[kept], rcond=None)[0]
    curvature = np.array([[2 * c[3], c[4]], [c[4], 2 * c[5]]])
    if np.linalg.eigvalsh(curvature).min() <= 0:
        return "the loss has no minimum over rate and batch"
    best = -np.linalg.solve(curvature, c[1:3])
    place = best + centre
    if (place < np.log([rate.min(), batch.min()])).any() or (place > np.log([rate.max(), batch.max()])).any():
        return "the minimum lies outside of what was tried"
    return (*np.exp(place).tolist(), float(c[0] + c[1:3] @ best / 2), int(kept.sum()))
