"""Numbers of published studies, ours above theirs, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.figures.style import PathLike, colour, drawing, marker, plain
from w2v_jax.scaling.describe import cell
from w2v_jax.scaling.fitted import Value

_GREY = "#555555"
_APART = 0.2  # of a line, ours above it and theirs below


class Pair(NamedTuple):
    """One number of a study."""

    name: str
    ours: Value
    published: Value  # nan bounds: published without an interval
    came: float | None = None  # of a forecast: what was measured later


def draw(pairs: Sequence[Pair], out: PathLike, *, what: str = "exponent", source: str = "") -> None:
    """A line for each pair: our value and interval in colour, the published ones in grey, hollow without an interval.

    A cross is what came of a forecast. `what` is on the axis. ValueError: no pair.
    """
    if not pairs:
        raise ValueError("nothing to draw")
    with drawing(out, (8.4, 0.36 * len(pairs) + 1.2), source) as figure:
        axes = figure.subplots()
        for i, pair in enumerate(pairs):
            for value, shade, place in ((pair.ours, colour(0), i - _APART), (pair.published, _GREY, i + _APART)):
                known = np.isfinite([value.low, value.high]).all()
                if known:
                    axes.plot([value.low, value.high], [place] * 2, color=shade, linewidth=2.2, solid_capstyle="butt")
                face = shade if known else "white"
                axes.plot(value.value, place, marker=marker(0), markersize=4, color=shade, markerfacecolor=face)
            text = f"{cell(pair.ours)}; {cell(pair.published)}"
            if pair.came is not None:
                axes.plot(pair.came, i, marker="x", markersize=7, color="black", linestyle="none")
                text += f"; {pair.came:.4g}"
            axes.annotate(text, (1.02, i), xycoords=("axes fraction", "data"), va="center", fontsize=8)
        axes.set_yticks(range(len(pairs)), [plain(pair.name) for pair in pairs], fontsize=8)
        axes.set_ylim(len(pairs) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        cross = "; cross: what came" if any(pair.came is not None for pair in pairs) else ""
        bars = "bars: 95 % intervals, hollow: published without one"
        axes.set_xlabel(f"{what}; blue: ours, grey: published{cross}\n{bars}")
