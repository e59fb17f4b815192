"""Accuracy of tasks by the loss of runs, and its forecasts for larger runs beside what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from w2v_jax.figures.style import Axes, PathLike, colour, drawing, marker, plain
from w2v_jax.scaling.ladder import Link

_POINTS = 200  # of a curve


def draw(studies: Mapping[str, Mapping[str, Any]], out: PathLike, *, source: str = "", unit: str = "per cent") -> None:
    """A row of two panels for each study: left, the curves of accuracy by loss, the runs that they rest on, and stars
    for the larger runs; right, each forecast with its 95 % interval, and a cross at what came.

    A study has 'runs' and 'came', rows with run, heldout_loss and tasks; 'curves', by task the numbers of a `Link`; and
    'targets', rows with run, times and tasks {name: [value, low, high]}.
    """
    lines = [sum(len(t["tasks"]) for t in study["targets"]) for study in studies.values()]
    with drawing(out, (12.0, 1.6 + sum(max(0.3 * n, 3.2) for n in lines)), source) as figure:
        rows = figure.subplots(
            len(studies), 2, squeeze=False, width_ratios=(1.2, 1.0), height_ratios=[max(n, 11) for n in lines]
        )
        for (left, right), (name, study) in zip(rows, studies.items(), strict=True):
            _curves(left, study, unit)
            left.set_title(plain(name))
            _forecasts(right, study, unit)


def _curves(axes: Axes, study: Mapping[str, Any], unit: str) -> None:
    every = [*study["runs"], *study["came"]]
    losses = [row["heldout_loss"] for row in every]
    x = np.linspace(min(losses), max(losses), _POINTS)
    for i, (task, numbers) in enumerate(study["curves"].items()):
        look = {"color": colour(i), "linestyle": "none"}
        axes.plot(x, 100 * Link(**numbers)(x), color=colour(i), linewidth=1.2)
        for rows, mark, size in ((study["runs"], marker(i), 4), (study["came"], "*", 12)):
            points = np.array([(row["heldout_loss"], 100 * row["tasks"][task]) for row in rows]).reshape(-1, 2)
            label = plain(task) if rows is study["runs"] else None
            axes.plot(*points.T, mark, markersize=size, label=label, **look)
    axes.set(xlabel="held-out loss, nats a token; stars: the larger runs", ylabel=unit)
    axes.legend(fontsize=7)


def _forecasts(axes: Axes, study: Mapping[str, Any], unit: str) -> None:
    came = {row["run"]: row["tasks"] for row in study["came"]}
    names: list[str] = []
    tasks = [*study["curves"]]
    for target in study["targets"]:
        for task, (value, low, high) in target["tasks"].items():
            at, shade = len(names), colour(tasks.index(task))
            axes.plot([100 * low, 100 * high], [at, at], color=shade, linewidth=2.2, solid_capstyle="butt")
            axes.plot(100 * value, at, marker(0), color=shade, markersize=5)
            if target["run"] in came:
                axes.plot(100 * came[target["run"]][task], at, "x", color="black", markersize=7)
            names.append(f"{target['times']:.3g} times, seed {target['run'].rpartition('_s')[2]}, {plain(task)}")
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{unit}\nbars: forecasts, crosses: what came")
