"""What each layer of a model knows of senses: curves over layers, one panel a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from w2v_jax.figures.style import DASHED, drawing, look, plain
from w2v_jax.files import PathLike

Curve = tuple[list[str], list[float]]
"""(layers from the first to the last, value of each)."""
Drawn = dict[str, dict[str, list[float]]]


def curves(results: Mapping[str, Any]) -> dict[str, dict[str, Curve]]:
    """{panel: {run: curve}} from the results of `experiments.word_sense`. The values are of training data, which chose
    layers; each is that of the way (as is, centred, whitened) that does best somewhere in its run."""
    out: dict[str, dict[str, Curve]] = {}
    for row in results.get("labelled", {}).get("rows", ()):
        if row.get("curves"):
            name = f"{row['classifier']}: " + ("right of a fold" if row["classifier"] == "regression" else "recall")
            out.setdefault(name, {})[row["model"]] = _best(row["curves"])
    for row in results.get("wic", {}).get("rows", ()):
        if row["curves"]:
            out.setdefault("Words in Context: right", {})[row["model"]] = _best(row["curves"])
    return out


def _best(by_way: Mapping[str, Mapping[str, float]]) -> Curve:
    way = max(by_way, key=lambda name: max(by_way[name].values(), default=0.0))
    return list(by_way[way]), list(by_way[way].values())


def draw(panels: Mapping[str, Mapping[str, Curve]], out: PathLike, source: str = "") -> Drawn:
    """One panel a task, one line a run, over its layers; a run of one layer is a dashed line.

    Returns {panel: {run: values in per cent}}.
    """
    names = list(dict.fromkeys(name for runs in panels.values() for name in runs))
    drawn: Drawn = {}
    with drawing(out, (4.6 * len(panels), 4.8), source) as figure:
        handles: dict[str, Any] = {}
        every = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, runs) in zip(every, panels.items(), strict=True):
            for name, (layers, values) in runs.items():
                shown = drawn.setdefault(title, {})[name] = [100.0 * value for value in values]
                style = look(names.index(name), name)
                if len(layers) > 1:
                    (handles[name],) = axes.plot(np.arange(len(layers)), shown, **style)
                else:
                    handles[name] = axes.axhline(shown[0], **(DASHED | {"color": style["color"]}))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_xlabel("layer (0: looked-up vectors)")
            axes.set_title(plain(title))
        every[0].set_ylabel("training data, %")
        labels = [plain(name) for name in handles]
        figure.legend(list(handles.values()), labels, loc="outside upper center", ncols=3)
    return drawn
