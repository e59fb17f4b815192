"""A recurrent model token by token: gates, memory, and how much of one word remains in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from w2v_jax.figures.style import GREY, Axes, Figure, colour, drawing, look, plain
from w2v_jax.files import PathLike

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_GATES = {"input": 0, "forget": 1, "output": 2, "reset": 0, "update": 1}  # places in the palette
_LABELS = 60  # tokens whose names fit below a picture


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer over T tokens, with H units."""

    gates: dict[str, np.ndarray]  # [T, H] each, 0 to 1; empty for cells without
    memory: np.ndarray  # [T, H]
    kept: np.ndarray | None  # [T, H] product of the memory's own factors since the word; NaN before it
    influence: np.ndarray  # [T] |d memory / d word vector| relative to right after the word; NaN before it
    weights: dict[str, np.ndarray]  # [H] each, of an elementwise cell; else empty


@dataclasses.dataclass(frozen=True)
class Inspection:
    """A text inside a model."""

    cell: str
    tokens: list[str]
    word: str  # followed from its last token, at `source`, to the last token of `until`, at `target`
    until: str
    source: int
    target: int
    layers: list[Layer]
    probability: np.ndarray | None = None  # [T, C] of each label after each token; classifiers only
    labels: Sequence[str] = ()  # their C names


def spread(values: np.ndarray) -> dict[str, list[float | None]]:
    """Mean and `QUANTILES` over units by token: [T, H] -> {'mean': [T], '0.1': [T], ...}; None where undefined."""
    rows = {"mean": values.mean(axis=1)} | {f"{q:g}": np.quantile(values, q, axis=1) for q in QUANTILES}
    return {name: [float(v) if np.isfinite(v) else None for v in row] for name, row in rows.items()}


def draw(seen: Inspection, out: PathLike, source: str = "") -> None:
    """One column per layer: gates, heat maps of gates and memory, what remains of the word, weights."""
    columns = [_panels(seen, layer) for layer in seen.layers]
    if seen.probability is not None:
        columns[-1].append((1.0, lambda fig, axes: _probability(axes, seen)))
    count = max(len(panels) for panels in columns)
    heights = [max(panels[i][0] for panels in columns if i < len(panels)) for i in range(count)]
    width = min(max(7.2, 1.6 + 0.32 * len(seen.tokens)), 14.0)
    with drawing(out, (width * len(columns), 0.8 + 2.3 * sum(heights)), source) as fig:
        grid: Any = fig.subplots(count, len(columns), squeeze=False, height_ratios=heights)
        for column, panels in enumerate(columns):
            for row, (_, paint) in enumerate(panels):
                paint(fig, grid[row, column])
            for row in range(len(panels), count):
                grid[row, column].set_axis_off()
        layers = f"{len(columns)} layers" if len(columns) > 1 else "1 layer"
        fig.suptitle(plain(f"{seen.cell}, {layers}: what is left of {seen.word!r} at {seen.until!r}"))


_Paint = Callable[[Figure, Axes], None]


def _panels(seen: Inspection, layer: Layer) -> list[tuple[float, _Paint]]:
    """(height, painter) of every panel of a layer, from the top."""

    def heat(name: str, values: np.ndarray, signed: bool = False) -> _Paint:
        return lambda fig, axes: _heat(fig, axes, seen, name, values, signed)

    panels: list[tuple[float, _Paint]] = []
    if layer.gates:
        panels.append((1.0, lambda fig, axes: _lines(axes, seen, layer)))
    panels += [(0.8, heat(f"{name} gate", values)) for name, values in layer.gates.items()]
    panels.append((0.8, heat("memory", layer.memory, signed=True)))
    panels.append((1.2, lambda fig, axes: _left(axes, seen, layer)))
    if layer.weights:
        panels.append((1.0, lambda fig, axes: _weights(axes, layer.weights)))
    return panels


def _name_tokens(axes: Axes, seen: Inspection, named: bool = False) -> None:
    """The axis of tokens, and lines at the two words."""
    count = len(seen.tokens)
    axes.set_xlim(-0.5, count - 0.5)
    places = range(0, count, -(-count // _LABELS))
    names = [plain(seen.tokens[i]) if named else "" for i in places]
    axes.set_xticks(list(places), names, rotation=60, ha="right", rotation_mode="anchor")
    for place in (seen.source, seen.target):
        axes.axvline(place, color="black", linewidth=0.9, linestyle=":", zorder=4)


def _banded(axes: Axes, values: np.ndarray, index: int, label: str, start: int = 0) -> None:
    """Mean over the units of [T, H], and their band from `start` on."""
    low, high = np.quantile(values[start:], (QUANTILES[0], QUANTILES[-1]), axis=1)
    axes.fill_between(np.arange(start, len(values)), low, high, color=colour(index), alpha=0.15, linewidth=0)
    axes.plot(values.mean(axis=1), markersize=4, **look(index, label))


def _lines(axes: Axes, seen: Inspection, layer: Layer) -> None:
    for name, values in layer.gates.items():
        _banded(axes, values, _GATES[name], name)
    axes.set(ylim=(0, 1), ylabel="gate")
    number = next(i for i, other in enumerate(seen.layers, 1) if other is layer)
    axes.set_title(f"Gates of layer {number}: mean over units (band: 10 % to 90 %)")
    axes.legend(loc="lower right", ncols=len(layer.gates))
    _name_tokens(axes, seen)


def _heat(fig: Figure, axes: Axes, seen: Inspection, name: str, values: np.ndarray, signed: bool) -> None:
    """Units from the lowest mean (bottom) to the highest."""
    order = np.argsort(values.mean(axis=0))
    top = float(np.quantile(np.abs(values), 0.99)) or 1.0
    scale: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -top, "vmax": top} if signed else {"vmin": 0.0, "vmax": 1.0}
    image = axes.imshow(values[:, order].T, aspect="auto", origin="lower", interpolation="nearest", **scale)
    axes.set(ylabel="units, sorted")
    axes.set_title(f"{name[0].upper()}{name[1:]}")
    axes.set_yticks([])
    axes.grid(visible=False)
    fig.colorbar(image, ax=axes, pad=0.01)
    _name_tokens(axes, seen)


def _left(axes: Axes, seen: Inspection, layer: Layer) -> None:
    if layer.kept is not None:
        name = "kept by the memory's own factors: mean over units (band: 10 % to 90 %)"
        _banded(axes, layer.kept, 1, name, seen.source)
    axes.plot(layer.influence, markersize=4, **look(0, "influence of the word's vector on the memory"))
    axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1.0)
    top = max(1.0, float(np.nanmax(layer.influence)))
    axes.set(ylabel="share of what it was", ylim=(0, 1.4 * top))  # with room for the legend
    axes.set_title(plain(f"What is left of {seen.word!r} (dashed: half)"))
    axes.legend(loc="upper right")
    _name_tokens(axes, seen, named=True)


def _weights(axes: Axes, weights: Mapping[str, np.ndarray]) -> None:
    for i, (name, values) in enumerate(weights.items()):
        axes.plot(np.sort(values), color=colour(i // 2), linestyle="--" if i % 2 else "-", label=plain(name))
    axes.set(xlabel="units, each line sorted by itself", ylabel="weight")
    axes.set_title("Elementwise weights, the same for all words")
    axes.legend(loc="upper left", ncols=2)


def _probability(axes: Axes, seen: Inspection) -> None:
    assert seen.probability is not None
    names = seen.labels or [f"label {i}" for i in range(seen.probability.shape[1])]
    for i, (name, row) in enumerate(zip(names, seen.probability.T, strict=True)):
        axes.plot(row, markersize=4, **look(i, plain(name)))
    axes.set(ylim=(0, 1), ylabel="probability")
    axes.set_title("Labels, after each token")
    axes.legend(loc="upper left", ncols=len(seen.probability.T))
    _name_tokens(axes, seen, named=True)
