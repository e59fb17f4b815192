"""Attention of a transformer: every head over one text, and what its layers look at and hold over many."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from w2v_jax.figures.style import DASHED, GREY, Axes, Figure, colour, drawing, legend_beside, look, marker, plain
from w2v_jax.files import PathLike

_LETTER = 0.13  # inches for a token's name
_WIDEST = 18.0  # inches of all panels together


@dataclasses.dataclass(frozen=True)
class Looked:
    """A text inside a transformer."""

    tokens: list[str]
    word: str  # of tokens `source[0]` to `source[1]`, looked at from `target`, the last token of `until`
    until: str
    source: tuple[int, int]
    target: int
    causal: bool
    weights: np.ndarray  # [L, N, T, T], position of the query first


def draw_heads(seen: Looked, layers: Sequence[int], heads: Sequence[int], out: PathLike, source: str = "") -> None:
    """A grid of heat maps: a row for each of `layers`, a column for each of `heads`, both counted from 0."""
    count = len(seen.tokens)
    side = min(max(1.5, _LETTER * 1.25 * count), _WIDEST / max(len(layers), len(heads)), 6.0)
    width, height = max(6.4, side * len(heads) + 2.2), side * len(layers) + 2.0
    with drawing(out, (width, height), source) as fig:
        from matplotlib.colors import PowerNorm
        from matplotlib.patches import Rectangle

        grid: Any = fig.subplots(len(layers), len(heads), squeeze=False, sharex=True, sharey=True)
        norm = PowerNorm(0.5, 0.0, 1.0)  # shows small weights too
        first, last = seen.source
        for row, layer in enumerate(layers):
            for column, head in enumerate(heads):
                axes = grid[row, column]
                image = axes.imshow(seen.weights[layer, head], cmap="Blues", norm=norm, interpolation="nearest")
                axes.grid(visible=False)
                axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=9)
                corner = (first - 0.5, seen.target - 0.5)
                axes.add_patch(Rectangle(corner, last - first + 1, 1, fill=False, edgecolor=colour(1), linewidth=1.2))
        _name_tokens(grid, seen.tokens, every=-(-count // max(1, int(side / _LETTER))))
        bar = fig.colorbar(image, ax=grid, pad=0.01, fraction=0.05, shrink=min(1.0, 5.0 / height), aspect=25)
        bar.set_label("weight (scale of square roots)")
        fig.suptitle(plain(f"Attention: rows look at columns (frame: what {seen.until!r} takes from {seen.word!r})"))


def _name_tokens(grid: Any, tokens: Sequence[str], every: int) -> None:
    places = list(range(0, len(tokens), every))
    names = [plain(tokens[i]) for i in places]
    for axes in grid[-1]:
        axes.set_xticks(places, names, rotation=90, fontsize=7)
    for axes in grid[:, 0]:
        axes.set_yticks(places, names, fontsize=7)


@dataclasses.dataclass(frozen=True)
class Layers:
    """L layers over many texts; the attention part is None for recurrent models."""

    bins: list[str]  # of distances
    distance: np.ndarray | None  # [L, bins] share of attention
    distance_uniform: np.ndarray | None  # [bins]
    kinds: list[str]
    kind: np.ndarray | None  # [L, kinds], attention received over share of the positions seen
    accuracy: Mapping[str, Sequence[float]]  # by what is read, after 0 (the embedding) to L layers
    majority: Mapping[str, float]  # accuracy of the most frequent label, by what is read
    both_ways: bool = False  # positions see what follows them too


def draw_layers(seen: Layers, title: str, out: PathLike, source: str = "") -> None:
    """Attention by distance and by kind of word, and the accuracy of probes after each layer."""
    panels = 3 if seen.distance is not None else 1
    with drawing(out, (5.6 * panels + 1.4, 5.2), source) as fig:
        grid: Any = fig.subplots(1, panels, squeeze=False)
        if seen.distance is not None:
            _distance(grid[0, 0], seen)
            _kind(grid[0, 1], seen)
        _probes(fig, grid[0, -1], seen)
        fig.suptitle(plain(title))


def _shade(index: int, count: int) -> Any:
    """Colours of the layers, from dark to light."""
    import matplotlib

    return matplotlib.colormaps["viridis"](0.9 * index / max(1, count - 1))


def _distance(axes: Axes, seen: Layers) -> None:
    assert seen.distance is not None and seen.distance_uniform is not None
    for i, row in enumerate(seen.distance):
        axes.plot(row, color=_shade(i, len(seen.distance)), marker=marker(i), markersize=4, label=f"layer {i + 1}")
    axes.plot(seen.distance_uniform, label="uniform", **DASHED)
    axes.set_xticks(range(len(seen.bins)), seen.bins, rotation=30)
    where = "|t - s|, tokens away" if seen.both_ways else "tokens back"
    axes.set(xlabel=where, ylabel="share of attention", ylim=(0, None))
    axes.set_title("Where attention goes, by distance")
    axes.legend()


def _kind(axes: Axes, seen: Layers) -> None:
    from matplotlib.ticker import FuncFormatter

    assert seen.kind is not None
    count = len(seen.kind)
    for i, row in enumerate(seen.kind):
        x = np.arange(len(row)) + 0.5 * (i - (count - 1) / 2) / max(1, count - 1)
        axes.plot(x, row, linestyle="", color=_shade(i, count), marker=marker(i), markersize=6)
    axes.axhline(1.0, **DASHED)
    axes.set_xticks(range(len(seen.kinds)), seen.kinds)
    axes.set_yscale("log", base=2)
    low, high = np.nanmin(seen.kind), np.nanmax(seen.kind)
    axes.set_ylim(min(0.45, 0.9 * max(low, 1e-3)), max(2.2, 1.1 * high))  # powers of two around 1 at least
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(xlabel="kind of the token looked at (layers from left to right)", ylabel="attention / share of positions")
    axes.set_title("Where attention goes, by kind of word (dashed: no preference)")


def _probes(fig: Figure, axes: Axes, seen: Layers) -> None:
    for i, (name, row) in enumerate(seen.accuracy.items()):
        axes.plot(row, markersize=5, **look(i, name))
        axes.plot(len(row) - 0.75, seen.majority[name], color=colour(i), marker="_", markersize=12, clip_on=False)
    axes.plot([], [], color=GREY, marker="_", markersize=12, linestyle="", label="most frequent label")
    count = len(next(iter(seen.accuracy.values())))
    axes.set_xticks(range(count), ["embedding", *map(str, range(1, count))])
    axes.set(xlabel="state after layer", ylabel="accuracy", ylim=(0, 1.02))
    axes.set_title("What a linear probe reads from the state")
    legend_beside(axes)
