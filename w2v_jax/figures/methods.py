"""Methods beside each other: what each gets right, with its standard error, and the seconds that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from w2v_jax.figures.style import BARS, GREY, MAJORITY, colour, drawing, plain
from w2v_jax.files import PathLike

_ROW = 0.42  # inches


def draw(
    rows: Sequence[Mapping[str, Any]], majority: float, out: PathLike, title: str = "", source: str = ""
) -> np.ndarray:
    """One line per method: its test accuracy with two standard errors each way beside `majority`, that of always
    the most frequent label of training, and its seconds.

    Each of the M rows has 'method', 'dimensions', the shares 'accuracy' and 'error', 'seconds_features' and
    'seconds_fit'. Returns float64 [M, 4]: accuracy and twice its error in per cent, the two times.
    """
    keys = ("accuracy", "error", "seconds_features", "seconds_fit")
    shown = np.array([[row[key] for key in keys] for row in rows], np.float64) * np.array([100.0, 200.0, 1.0, 1.0])
    accuracy, spread, features, fit = shown.T
    place = -np.arange(len(rows), dtype=np.float64)
    with drawing(out, (9.0, 1.9 + _ROW * len(rows)), source) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        left.errorbar(accuracy, place, xerr=spread, fmt="o", color=colour(0), markersize=5, **BARS)
        left.axvline(100.0 * majority, color=GREY, linestyle="--", label=f"{MAJORITY}, {majority:.1%}")
        for x, y, half in zip(accuracy, place, spread, strict=True):
            left.annotate(f"{x:.1f}", (x + half, y), (5, 0), textcoords="offset points", va="center", fontsize=9)
        left.set_yticks(place, [plain(f"{row['method']} ({row['dimensions']:,})") for row in rows])
        left.margins(x=0.12)
        left.set_ylim(place[-1] - 0.6, 0.6)
        left.set_xlabel("test accuracy, % (whiskers: two standard errors)")
        times = np.concatenate([features, fit])
        least = max(1e-3, float(np.min(times[times > 0], initial=1.0)) / 2.0)
        for i, (label, seconds) in enumerate((("features", features), ("choice of C and fit", fit))):
            right.barh(place + 0.18 - 0.36 * i, np.maximum(seconds, least), 0.32, color=colour(2 + 2 * i), label=label)
        right.set_xscale("log")
        right.set_xlim(left=least)
        right.set_xlabel("seconds")
        left.set_title(plain(title or "Classification of texts (number of features in brackets)"))
        figure.legend(loc="outside upper center", ncols=3)
    return shown
