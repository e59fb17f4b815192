"""Word models side by side: their scores, and skip-gram's products against shifted PMI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from w2v_jax.figures.style import colour, drawing, marker, plain
from w2v_jax.files import PathLike


def draw(
    models: Mapping[str, Mapping[str, Any]], association: Mapping[str, Any] | None, out: PathLike, source: str = ""
) -> None:
    """Left, the scores of every model (each seed a point, the mean a line); right, E C^T over PMI - log k.

    `models` has 'runs' with 'scores' by test. `association` is that of `experiments.compare`, or None for no panel.
    """
    tests = list(next(iter(models.values()))["runs"][0]["scores"])
    with drawing(out, (12.0 if association else 7.5, 4.8), source) as figure:
        left, *right = figure.subplots(1, 2 if association else 1, squeeze=False)[0]
        for i, (name, entry) in enumerate(models.items()):
            scores = [[run["scores"].get(test) for test in tests] for run in entry["runs"]]
            found = np.array(scores, np.float64)  # nan where nothing could be scored
            place = np.arange(len(tests)) + 0.12 * (i - (len(models) - 1) / 2)
            left.plot(place, found.mean(0), marker(i), color=colour(i), markersize=8, label=plain(name))
            for row in found:
                left.plot(place, row, marker(i), color=colour(i), alpha=0.4, markersize=4)
        left.set_xticks(np.arange(len(tests)), [plain(test) for test in tests])
        left.set_ylabel("Spearman's correlation; share of analogies")
        left.set_title("Scores (small: each seed)")
        left.legend(loc="best")
        for axes in right:
            assert association is not None
            x, y = np.array(association["shown"]).T
            axes.plot(x, y, ".", color=colour(0), alpha=0.25, markersize=3)
            ends = np.array([x.min(), x.max()])
            line = f"slope {association['slope']:.2f}, weighted correlation {association['weighted']:.2f}"
            axes.plot(ends, association["intercept"] + association["slope"] * ends, color=colour(1), label=line)
            axes.plot(ends, ends, "--", color="black", linewidth=1.0, label="equal")
            axes.set_xlabel(r"PMI $-$ log $k$")
            axes.set_ylabel("E C$^T$ of skip-gram")
            axes.set_title(f"{len(x):,} of {association['pairs']:,} pairs, drawn by their counts")
            axes.legend(loc="best")
