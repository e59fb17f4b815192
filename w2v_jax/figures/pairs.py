"""Distances of SAME and DIFFERENT pairs moving apart pass by pass, and accuracy by threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.figures.style import DASHED, colour, drawing, plain
from w2v_jax.files import PathLike

BINS = 40
COLUMNS = 4


class Panel(NamedTuple):
    """The distances of some pairs after a number of passes."""

    title: str
    same: Sequence[float]
    different: Sequence[float]


class Line(NamedTuple):
    """Accuracy, a share, by threshold."""

    name: str
    thresholds: Sequence[float]
    accuracies: Sequence[float]


def draw(panels: Sequence[Panel], lines: Sequence[Line], threshold: float, out: PathLike, source: str = "") -> Any:
    """One histogram per panel on one scale, shares of the pairs of a kind, with the threshold; then accuracy by
    threshold, of every line.

    Returns float64 [P, 2, BINS], the heights of the bars of SAME and DIFFERENT in per cent, and the edges [BINS + 1].
    """
    numbers = np.concatenate([np.asarray(side, np.float64) for panel in panels for side in panel[1:]])
    low, high = float(numbers.min()), float(np.quantile(numbers, 0.998))
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    heights = np.array([[_shares(side, edges) for side in panel[1:]] for panel in panels])
    columns = min(COLUMNS, len(panels) + 1)
    rows = math.ceil((len(panels) + 1) / columns)
    with drawing(out, (3.1 * columns, 2.7 * rows + 0.4), source) as figure:
        grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).reshape(-1)
        for axes, panel, bars in zip(grid, panels, heights, strict=False):
            for kind, shares in enumerate(bars):
                label = ("SAME", "DIFFERENT")[kind]
                axes.bar(edges[:-1], shares, np.diff(edges), align="edge", color=colour(kind), alpha=0.6, label=label)
            axes.axvline(threshold, **DASHED)
            axes.set_title(plain(panel.title))
        grid[0].legend()
        grid[0].set_ylabel("pairs of the kind, %")
        for axes in grid[(rows - 1) * columns : len(panels)]:
            axes.set_xlabel("distance")
        last = grid[len(panels)]
        for i, line in enumerate(lines):
            shares = 100.0 * np.asarray(line.accuracies)
            last.plot(line.thresholds, shares, color=colour(i + 2), label=plain(line.name))
        last.axvline(threshold, **DASHED)
        last.set_xlim(edges[0], edges[-1])
        last.set_title("right answers, %, by threshold")
        last.set_xlabel("threshold")
        last.legend(loc="lower right")
        for axes in grid[len(panels) + 1 :]:
            axes.set_visible(False)
    return heights, edges


def _shares(values: Sequence[float], edges: np.ndarray) -> np.ndarray:
    """Per cent of the values in each bin; what lies beyond the last edge is in the last bin."""
    counts = np.histogram(np.clip(np.asarray(values, np.float64), edges[0], edges[-1]), edges)[0]
    return 100.0 * counts / max(1, len(values))
