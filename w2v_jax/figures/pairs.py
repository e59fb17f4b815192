"""Distances of SAME and DIFFERENT pairs moving apart pass by pass, and accuracy by threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from w2v_jax.figures.style import DASHED, colour, drawing, plain
from w2v_jax.files import PathLike

BINS = 40
COLUMNS = 4
POINTS = 200  # of a line, at most


def histograms(panels: Sequence[tuple[str, np.ndarray, np.ndarray]], threshold: float) -> dict[str, Any]:
    """What `draw` takes, for results in JSON: of each (title, distances of SAME pairs, of DIFFERENT pairs) the shares
    in `BINS` bins, per cent of the pairs of a kind, all over the same edges. The last bin has what lies beyond."""
    numbers = np.concatenate([np.asarray(side, np.float64) for panel in panels for side in panel[1:]])
    low, high = float(numbers.min()), float(np.quantile(numbers, 0.998))
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)

    def shares(values: np.ndarray) -> list[float]:
        counts = np.histogram(np.clip(np.asarray(values, np.float64), edges[0], edges[-1]), edges)[0]
        return [round(float(x), 4) for x in 100.0 * counts / max(1, len(values))]

    found = [{"title": title, "same": shares(a), "different": shares(b)} for title, a, b in panels]
    return {"edges": edges.tolist(), "panels": found, "threshold": threshold}


def line(name: str, thresholds: np.ndarray, accuracies: np.ndarray) -> dict[str, Any]:
    """Accuracy, a share, by threshold, for `draw`: of many thresholds `POINTS`."""
    kept = np.unique(np.linspace(0, len(thresholds) - 1, POINTS).astype(int))
    shown = [[round(float(x), 5) for x in values[kept]] for values in (thresholds, accuracies)]
    return {"name": name, "thresholds": shown[0], "accuracies": shown[1]}


def draw(picture: Mapping[str, Any], out: PathLike, source: str = "") -> int:
    """One histogram per panel, over the same distances, with the threshold; then accuracy by threshold. `picture` is
    that of `histograms` with 'lines', those of `line`. Returns the number of panels."""
    panels, edges, threshold = picture["panels"], np.array(picture["edges"]), picture["threshold"]
    columns = min(COLUMNS, len(panels) + 1)
    rows = math.ceil((len(panels) + 1) / columns)
    with drawing(out, (3.1 * columns, 2.7 * rows + 0.4), source) as figure:
        grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).reshape(-1)
        for axes, panel in zip(grid, panels, strict=False):
            for i, kind in enumerate(("same", "different")):
                bars: dict[str, Any] = {"align": "edge", "color": colour(i), "alpha": 0.6, "label": kind.upper()}
                axes.bar(edges[:-1], panel[kind], np.diff(edges), **bars)
            axes.axvline(threshold, **DASHED)
            axes.set_title(plain(panel["title"]))
        grid[0].legend()
        grid[0].set_ylabel("pairs of the kind, %")
        for axes in grid[(rows - 1) * columns : len(panels)]:
            axes.set_xlabel("distance")
        last = grid[len(panels)]
        for i, found in enumerate(picture["lines"]):
            shares = 100.0 * np.asarray(found["accuracies"])
            last.plot(found["thresholds"], shares, color=colour(i + 2), label=plain(found["name"]))
        last.axvline(threshold, **DASHED)
        last.set_xlim(edges[0], edges[-1])
        last.set_title("right answers, %, by threshold")
        last.set_xlabel("threshold")
        last.legend(loc="lower right")
        for axes in grid[len(panels) + 1 :]:
            axes.set_visible(False)
    return len(panels)
