"""Scores of word vectors against one setting: a panel a score, a line a model, every seed in its spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.figures.analogies import mean_and_spread
from w2v_jax.figures.style import Axes, colour, drawing, marker, plain
from w2v_jax.files import PathLike


class Line(NamedTuple):
    """One model by rising x. `theirs` is a published line, drawn hollow and dotted, without a spread."""

    label: str
    points: Sequence[tuple[float, Sequence[float]]]  # (x, the value of each seed)
    shade: int  # number of its colour and marker
    theirs: bool = False


class Panel(NamedTuple):
    """One score."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    ticks: Mapping[float, str] = {}  # of x; those of matplotlib where empty
    log_x: bool = False
    log_y: bool = False


def draw(panels: Sequence[Panel], out: PathLike, source: str = "", columns: int = 4) -> None:
    """Means over seeds with half of their range; one legend for all panels, which share labels and colours."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with drawing(out, (3.5 * columns, 3.3 * rows + 0.9), source) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
        for place, panel in zip(axes, panels, strict=False):
            _panel(place, panel)
        for place in axes[len(panels) :]:
            place.set_axis_off()
        entries = dict[str, Any]()
        for place in axes[: len(panels)]:
            handles, labels = place.get_legend_handles_labels()
            entries |= dict(zip(labels, handles, strict=True))
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=min(len(entries), 5))


def _panel(axes: Axes, panel: Panel) -> None:
    for line in panel.lines:
        x = [at for at, _ in line.points]
        mean, spread = np.array([mean_and_spread(values) for _, values in line.points]).T
        look = {"color": colour(line.shade), "marker": marker(line.shade), "markersize": 5, "label": plain(line.label)}
        if line.theirs:
            axes.plot(x, mean, linestyle=":", markerfacecolor="white", **look)
        else:
            axes.errorbar(x, mean, yerr=spread, capsize=3, **look)
    if panel.log_x:
        axes.set_xscale("log")
    if panel.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    if panel.ticks:
        axes.set_xticks(list(panel.ticks), list(panel.ticks.values()))
        axes.minorticks_off()
    axes.set_title(plain(panel.title))
    axes.set_xlabel(plain(panel.x))
    axes.set_ylabel(plain(panel.y))
