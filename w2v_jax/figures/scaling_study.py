"""The runs of a study by arm: loss against size and FLOPs, accuracy, loss by position, rates, word vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.figures.style import DASHED, GREY, Axes, colour, drawing, look, marker, plain
from w2v_jax.files import PathLike
from w2v_jax.scaling.analysis import Laws
from w2v_jax.scaling.describe import show
from w2v_jax.scaling.fitted import Fit, band

LOSS = "held-out loss, nats a token"
Curve = tuple[np.ndarray, np.ndarray]
Curves = Mapping[str, Curve]


def draw_families(
    by_size: Curves,
    by_flops: Curves,
    out: PathLike,
    *,
    laws: Mapping[str, Laws] | None = None,
    optimum: float | None = None,
    source: str = "",
) -> None:
    """Left, (parameters, loss) of each arm at the most tokens; right, (training FLOPs, loss) of every run.

    `laws` by arm give the 95 % bands of the powers of N and of C, and rings around the runs that are in no fit.
    `optimum` is the best possible loss, where it is known: the axis is then the distance from it, and the legend gives
    the fitted floors instead of bands.
    """
    from matplotlib.ticker import NullFormatter

    zero, laws = 0.0 if optimum is None else optimum, laws or {}
    with drawing(out, (10.6, 4.7), source) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        labels = [_legend(name, laws.get(name), optimum) for name in by_size]
        for i, (x, y) in enumerate(by_size.values()):
            _joined(left, i, x, y - zero, labels[i])
        for i, (x, y) in enumerate(by_flops.values()):
            right.plot(x, y - zero, marker(i), color=colour(i), alpha=0.45, markersize=5)
            order = np.lexsort((y, x))
            best = np.minimum.accumulate(y[order])
            right.step(x[order], best - zero, where="post", color=colour(i), linewidth=1.2)
        for i, law in enumerate(laws.get(name) for name in by_size):
            if law is not None:
                _bands(left, right, i, law, optimum)
        for axes, label in ((left, "parameters"), (right, "training FLOPs")):
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(label)
            if optimum is not None:
                axes.set_yscale("log")
        left.set_ylabel(LOSS if optimum is None else f"nats a token above the best possible, {optimum:.4f}")
        left.set_title("at the most tokens; lines: means of the seeds")
        right.set_title("every run; lines: the best so far")
        place: dict[str, Any] = {} if optimum is None else {"loc": "upper right", "bbox_to_anchor": (1.0, 0.93)}
        left.legend(title="95 % intervals in brackets" if labels != list(by_size) else None, **place)


def _legend(name: str, law: Laws | None, optimum: float | None) -> str:
    """The arm with its power of N, or its floor where the best possible loss is known."""
    if law is not None and optimum is None and isinstance(law.by_size, Fit):
        return f"{name}, {show('power of N', law.by_size.values['alpha'])}"
    if law is not None and optimum is not None and isinstance(law.parametric, Fit):
        return f"{name}, {show('floor', law.parametric.values['E'])}"
    return name


def _bands(left: Axes, right: Axes, i: int, law: Laws, optimum: float | None) -> None:
    """The bands of arm `i`, and its runs that are left out of the fits."""
    for axes, fit in ((left, law.by_size), (right, law.frontier)):
        if optimum is None and isinstance(fit, Fit):
            x = np.geomspace(fit.smallest[0], fit.largest[0], 50)
            axes.fill_between(x, *band(fit, x), color=colour(i), alpha=0.13, linewidth=0)
    if law.plateau:
        x, y = np.array([(r.training_flops, r.heldout_loss) for r in law.plateau], np.float64).T
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": colour(i), "zorder": 3}
        right.scatter(x, y - (optimum or 0.0), 90, label=f"{law.arm}: in no fit, no better than single words", **ring)
        right.legend(loc="lower left")


def _joined(axes: Axes, i: int, x: np.ndarray, y: np.ndarray, name: str) -> None:
    """Every run of arm `i`, and a line through the mean of the seeds at each size."""
    axes.plot(x, y, marker(i), color=colour(i), alpha=0.45, markersize=5)
    sizes, which = np.unique(x, return_inverse=True)
    mean = np.bincount(which, y) / np.bincount(which)
    axes.plot(sizes, mean, **look(i, name))


def draw_accuracy(measured: Curves, claimed: Mapping[float, float], out: PathLike, *, source: str = "") -> None:
    """Next-word accuracy: (parameters, share of held-out tokens) by arm, and the notes' claimed share by parameters."""
    with drawing(out, (7.4, 4.8), source) as figure:
        axes = figure.subplots()
        for i, (name, (x, y)) in enumerate(measured.items()):
            _joined(axes, i, x, 100 * y, name)
        shares = [100 * share for share in claimed.values()]
        axes.plot(list(claimed), shares, "x:", color=GREY, label="claimed by the notes")
        axes.set_xscale("log")
        axes.set(xlabel="parameters", ylabel="next-word accuracy, %", ylim=(0, 100))
        axes.set_title("Share of held-out words that scored highest")
        axes.legend()


def draw_positions(
    curves: Mapping[str, np.ndarray], out: PathLike, *, above: bool = False, beside: str = "", source: str = ""
) -> None:
    """Loss by position in a context that starts empty, as Figure 7 of Kaplan et al. 2020 (arXiv 2001.08361).

    Args:
      curves: nats by position, from the first on, by model, all on the same text.
      above: whether they are distances from the best possible loss given all of the text before; then logarithmic.
      beside: a model, for a second panel with the distance of every model from it. The difficulty of each place of
        the text cancels there.
    """
    with drawing(out, (10.6 if beside else 7.4, 4.8), source) as figure:
        left, *right = figure.subplots(1, 2 if beside else 1, squeeze=False)[0]
        base = curves[beside] if beside else 0.0
        for i, (name, values) in enumerate(curves.items()):
            left.plot(*grouped(values), markersize=4, **look(i, name))
            for axes in right:
                axes.plot(*grouped(values - base), markersize=4, **look(i))
        if above:
            left.set_yscale("symlog", linthresh=0.01)  # by chance a group of positions may be below it
        left.set_ylabel("nats a token above the best possible" if above else LOSS)
        left.set_title("Loss by position in the context")
        for axes in (left, *right):
            axes.set_xscale("log", base=2)
            axes.set_xlabel("tokens of context")
        for axes in right:
            axes.set_ylabel(f"nats a token above {plain(beside)}")
            axes.set_title("at the same places of the same text")
        left.legend()


def grouped(curve: np.ndarray, width: float = 2**0.25) -> Curve:
    """(mean position from 1, mean loss) of groups of positions, each `width` times as wide: single ones are noisy."""
    edges, at = [0], 1.0
    while edges[-1] < len(curve):
        at = max(at * width, edges[-1] + 1)
        edges.append(min(int(round(at)), len(curve)))
    groups = [range(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a]
    return np.array([np.mean(g) + 1 for g in groups]), np.array([curve[g.start : g.stop].mean() for g in groups])


def draw_over_training(
    arms: Mapping[str, Mapping[int, tuple[np.ndarray, np.ndarray]]],
    out: PathLike,
    *,
    optimum: float | None = None,
    source: str = "",
) -> None:
    """(tokens a parameter, loss) by arm and size, a panel for each arm; above the best possible loss where known."""
    zero = 0.0 if optimum is None else optimum
    with drawing(out, (1.2 + 4.6 * len(arms), 4.6), source) as figure:
        panels = figure.subplots(1, len(arms), sharey=True, squeeze=False)[0]
        for axes, (arm, curves) in zip(panels, arms.items(), strict=True):
            for i, (n, (x, y)) in enumerate(curves.items()):
                axes.plot(x, y - zero, **look(i, f"{n:,} parameters"))
            axes.set_xscale("log")
            axes.set(xlabel="tokens a parameter", title=plain(arm))
            axes.legend()
        panels[0].set_ylabel(LOSS if optimum is None else "nats a token above the best possible")


def draw_rates(panels: Mapping[str, Curves], out: PathLike, *, source: str = "", across: int = 3) -> None:
    """Loss against learning rate, (rates, loss) by size, the smallest first, in one panel for each arm.

    A star marks the best rate of each size, a dotted line that of the smallest. A loss that is not finite is not drawn.
    ValueError: no panel.
    """
    if not panels:
        raise ValueError("nothing to draw")
    columns = min(across, len(panels))
    rows = -(-len(panels) // columns)
    with drawing(out, (1.0 + 4.4 * columns, 0.6 + 3.9 * rows), source) as figure:
        grid = figure.subplots(rows, columns, sharey="row", squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, (arm, curves) in zip(grid.flat, panels.items(), strict=False):
            _rates(axes, curves)
            axes.set_title(plain(arm))
        for axes in grid[:, 0]:
            axes.set_ylabel(LOSS)


def _rates(axes: Axes, curves: Curves) -> None:
    for i, (name, (x, y)) in enumerate(curves.items()):
        order = np.argsort(x)
        x, y = x[order], np.where(np.isfinite(y[order]), y[order], np.nan)
        axes.plot(x, y, **look(i, name))
        if np.isfinite(y).any():
            best = int(np.nanargmin(y))
            axes.plot(x[best], y[best], "*", color=colour(i), markersize=14, markeredgecolor="black")
            if i == 0:
                axes.axvline(x[best], color=GREY, linestyle=":", linewidth=1.2)
    axes.set_xscale("log")
    tried = np.unique(np.concatenate([x for x, _ in curves.values()]))
    axes.set_xticks(tried, [f"{rate:.3g}" for rate in tried])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("learning rate (stars: the best tried)")
    axes.legend(fontsize=8)


class Coordinates(NamedTuple):
    """What a few steps change in the models of one arm, as `w2v_jax.scaling.coordinates` measures it."""

    weights: Sequence[float]  # parameters without embeddings, of each size
    lines: Mapping[str, Sequence[float]]  # root mean square of the change at each size, by what changes


def coordinates(rows: Sequence[Mapping[str, Any]]) -> dict[str, Coordinates]:
    """What is drawn of the rows of `experiments.scaling --coordinates`, by arm."""
    found: dict[str, Coordinates] = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        lines = {"embeddings": [row["states"][0] for row in own], "last state": [row["states"][-1] for row in own]}
        lines["logits"] = [row["logits"] for row in own]
        found[arm] = Coordinates([float(row["weights"]) for row in own], lines)
    return found


def draw_coordinates(arms: Mapping[str, Coordinates], out: PathLike, *, source: str = "", across: int = 3) -> None:
    """The change of states and logits over that of the smallest size, against parameters, a panel for each arm.

    A flat line is what a rate that transfers needs (Yang et al. 2022, arXiv 2203.03466, Figure 5). ValueError: no arm.
    """
    if not arms:
        raise ValueError("nothing to draw")
    columns = min(across, len(arms))
    rows = -(-len(arms) // columns)
    with drawing(out, (1.0 + 3.9 * columns, 0.6 + 3.4 * rows), source) as figure:
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes in grid.flat[len(arms) :]:
            axes.set_axis_off()
        for axes, (arm, found) in zip(grid.flat, arms.items(), strict=False):
            for i, (name, moves) in enumerate(found.lines.items()):
                axes.plot(found.weights, np.asarray(moves) / moves[0], **look(i, name))
            axes.axhline(1.0, **DASHED)
            axes.set(xscale="log", yscale="log", xlabel="parameters without embeddings")
            axes.set_title(plain(arm))
        grid[0, 0].legend()
        for axes in grid[:, 0]:
            axes.set_ylabel("change over the smallest size's")


def draw_heat(
    dims: Sequence[int], tokens: Sequence[float], scores: Mapping[str, np.ndarray], out: PathLike, *, source: str = ""
) -> None:
    """Quality of word vectors, [dims, tokens] by test, as Table 2 of Mikolov et al. 2013 (arXiv 1301.3781).

    `dims` and `tokens` rise; a score without a run is nan.
    """
    with drawing(out, (0.6 + 4.2 * len(scores), 1.6 + 0.6 * len(dims)), source) as figure:
        for axes, (name, values) in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores.items(), strict=True):
            _heat(axes, values)
            axes.set_xticks(range(len(tokens)), [f"{t / 1e6:.3g}M" for t in tokens])
            axes.set_yticks(range(len(dims)), [str(d) for d in dims])
            axes.set(xlabel="training words", ylabel="dimensions")
            axes.set_title(plain(name))
            axes.grid(visible=False)


def _heat(axes: Axes, values: np.ndarray) -> None:
    axes.imshow(np.ma.masked_invalid(values), cmap="viridis", aspect="auto", origin="lower")
    middle = (np.nanmax(values) + np.nanmin(values)) / 2
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            shade = "white" if value < middle else "black"
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=shade, fontsize=9)
