"""The rungs of a ladder of classifiers: test accuracy of each, with its standard error, beside the held-out one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from w2v_jax.figures.style import GREY, MAJORITY, colour, drawing, plain
from w2v_jax.files import PathLike


def draw(rows: Sequence[Mapping[str, Any]], majority: float, out: PathLike, source: str = "") -> np.ndarray:
    """One bar per model: its test accuracy, with two standard errors each way; `majority`, the accuracy of
    always the most frequent label of training, is a line.

    Each of the M rows has 'model', 'parameters' and the shares 'test_accuracy', 'test_error' and 'heldout_accuracy'.
    Returns float64 [M, 3] in per cent: test accuracy, twice its error, held-out accuracy.
    """
    keys = ("test_accuracy", "test_error", "heldout_accuracy")
    shown = 100.0 * np.array([[row[key] for key in keys] for row in rows], np.float64) * np.array([1.0, 2.0, 1.0])
    accuracy, spread, held = shown.T
    low = min(100.0 * majority, accuracy.min(), held.min())
    place = np.arange(len(rows))
    with drawing(out, (2.4 + 1.3 * max(2, len(rows)), 4.6), source) as figure:
        axes = figure.subplots()
        axes.bar(place, accuracy, width=0.62, color=[colour(i) for i in range(len(rows))], alpha=0.85)
        axes.errorbar(place, accuracy, yerr=spread, fmt="none", ecolor="black", capsize=4, linewidth=1.2)
        mark: dict[str, Any] = {"color": "white", "markeredgecolor": "black", "markersize": 6, "zorder": 4}
        axes.plot(place + 0.2, held, "D", label="held-out tenth of the training set", **mark)
        usual = 100.0 * majority
        axes.axhline(usual, color=GREY, linestyle="--", label=f"{MAJORITY}, {usual:.1f} %")
        above: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontweight": "bold"}
        for x, y, error in zip(place, accuracy, spread, strict=True):
            axes.annotate(f"{y:.1f}", (x, y + error), (0, 3), **above)
        axes.set_xticks(place, [plain(f"{row['model']}\n{row['parameters']:,} trained") for row in rows])
        start = max(0.0, 5.0 * np.floor(low / 5.0) - 5.0)
        axes.set_ylim(start, min(104.0, max(*(accuracy + spread), *held) + 4.0))
        axes.set_ylabel("accuracy, %" + (f" (the axis begins at {start:.0f})" if start else ""))
        axes.grid(visible=False, axis="x")
        axes.set_title("Test accuracy (whiskers: two standard errors each way)")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1)
    return shown
