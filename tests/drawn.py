"""Pictures of the gallery as matplotlib holds them, for `tests/test_figures_drawn*.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.figures.gallery import figures
from experiments.figures.show import RESULTS

Points = Sequence[Sequence[float]]  # (x, y) of a line


class Seen(Figure):
    """A figure that can be found after it was drawn."""

    made: list[Figure] = []

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        Seen.made.append(self)


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are kept, and not rendered."""

    def leave(canvas: FigureCanvasAgg, file: Any) -> None:
        if "draw" in vars(canvas.figure):  # matplotlib asks for the renderer alone, to measure text
            canvas.figure.draw(canvas.get_renderer())

    monkeypatch.setattr("matplotlib.figure.Figure", Seen)
    monkeypatch.setattr(FigureCanvasAgg, "print_png", leave)


def record(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["result"])


def draw(name: str, result: dict[str, Any], folder: Path) -> list[Axes]:
    """The panels of a figure, in their order."""
    figures()[name].draw(result, folder / f"{name}.png", "small print")
    figure = Seen.made.pop()
    assert figure.get_supxlabel() == "small print"
    return list(figure.axes)


def lines(axes: Axes) -> list[np.ndarray]:
    """(x, y) of every line that has a point; of horizontal and vertical ones too."""
    return [line.get_xydata() for line in axes.lines if len(line.get_xydata())]


def same(found: Iterable[np.ndarray], expected: Iterable[Points]) -> None:
    """Both hold the same lines, in any order."""
    left, wanted = list(found), [np.array(e, np.float64).reshape(-1, 2) for e in expected]
    for curve in wanted:
        at = [i for i, f in enumerate(left) if f.shape == curve.shape and np.allclose(f, curve, rtol=1e-7, atol=1e-12)]
        assert at, f"not drawn: {curve[:4].tolist()} ... ({len(curve)} points)"
        del left[at[0]]
    assert not left, f"not in the record: {[f[:4].tolist() for f in left]}"


def across(y: float) -> Points:
    return [(0, y), (1, y)]


def upright(x: float) -> Points:
    return [(x, 0), (x, 1)]


def whiskers(x: Sequence[float], y: Sequence[float], error: Sequence[float]) -> list[Points]:
    """The caps of error bars."""
    ends = [[(a, b + sign * e) for a, b, e in zip(x, y, error, strict=True)] for sign in (-1, 1)]
    return [list(end) for end in ends]


def over_seeds(runs: list[dict[str, Any]], at: dict[str, Any], key: str) -> tuple[float, float]:
    """Mean and half of the range of the runs with these values."""
    values = [run[key] for run in runs if all(run[k] == v for k, v in at.items())]
    return sum(values) / len(values), (max(values) - min(values)) / 2


def spread(runs: list[dict[str, Any]], places: dict[float, dict[str, Any]], key: str) -> list[Points]:
    """A line of means by place, and the caps of its error bars."""
    found = [over_seeds(runs, at, key) for at in places.values()]
    means, halves = [mean for mean, _ in found], [half for _, half in found]
    return [list(zip(places, means, strict=True)), *whiskers(list(places), means, halves)]
