"""Scaling laws: loss against size with the fitted law, IsoFLOP parabolas, and exponents beside published ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.figures.style import DASHED, GREY, Axes, colour, drawing, marker, plain
from w2v_jax.files import PathLike
from w2v_jax.scaling.describe import cell, number, show
from w2v_jax.scaling.fitted import FAR, Fit, Refusal, Value, band, bounds, draws, predict
from w2v_jax.scaling.isoflop import Isoflop, compute_optimal

AXES = {"N": "parameters N", "D": "training tokens D", "C": "training FLOPs C"}
_NEAR = 2.0  # a floor below the lowest loss over this is out of the picture
_REACH = 10.0  # times the largest run: the end of a drawn law
_POINTS, _CURVES = 200, 5  # points of a curve, curves of the parametric law
_COLOURS = "viridis"
_DOT: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "white", "markeredgewidth": 0.6, "zorder": 3}


def draw_law(fit: Fit, out: PathLike, *, floor: float | None = None, source: str = "") -> None:
    """Runs and a power law of `fit_power` with its 95 % band; dashed beyond twice the largest run.

    `floor` is the true best loss, where it is known. ValueError: a law of two sizes.
    """
    if len(fit.law.sizes) != 1:
        raise ValueError("draw_law draws laws of one size; see draw_parametric")
    symbol, largest = fit.law.sizes[0], fit.largest[0]
    x = np.geomspace(fit.smallest[0], largest * _REACH, _POINTS)
    with drawing(out, (7.6, 5.0), source) as figure:
        axes = figure.subplots()
        axes.fill_between(x, *band(fit, x), color=colour(0), alpha=0.18, linewidth=0, label="95 % band of the law")
        exponent = show(fit.law.exponents[0], fit.values[fit.law.exponents[0]])
        _law_line(axes, x, predict(fit, x), largest, color=colour(0), label=f"{fit.law.formula}, {exponent}")
        axes.plot(fit.sizes[:, 0], fit.y, marker=marker(0), color=colour(1), label=f"{fit.points} runs", **_DOT)
        if "E" in fit.values:
            _fitted_floor(axes, fit, colour(2))
        if floor is not None:
            axes.axhline(floor, label=f"true optimum, {number(floor)}", **DASHED)
        _law_axes(axes, x, largest, AXES.get(symbol, symbol))
        axes.set_title(f"{fit.law.name}: loss against {AXES.get(symbol, symbol)}")


def draw_fits(
    parametric: Fit | Refusal, isoflop: Isoflop | Refusal, folder: Path, prefix: str = "", source: str = ""
) -> list[Path]:
    """Draws those that are no refusal, in the folder, and returns the pictures."""
    law, out = parametric if isinstance(parametric, Fit) else None, []
    if law:
        out.append(folder / f"{prefix}parametric.png")
        draw_parametric(law, out[-1], source=source)
    if isinstance(isoflop, Isoflop):
        out.append(folder / f"{prefix}isoflop.png")
        summed = None if law and law.law.joint else law  # whose optimum has a formula
        draw_isoflop(isoflop, out[-1], parametric=summed, source=source)
    return out


def draw_parametric(fit: Fit, out: PathLike, *, source: str = "") -> None:
    """Runs against parameters, coloured by their tokens, with the law of `fit_parametric` at five numbers of tokens.

    ValueError: a law of one size.
    """
    if len(fit.law.sizes) != 2:
        raise ValueError("draw_parametric draws laws of N and D; see draw_law")
    n, d = fit.sizes.T
    x = np.geomspace(n.min(), n.max() * _REACH, _POINTS)
    with drawing(out, (8.0, 5.2), source) as figure:
        from matplotlib import colormaps
        from matplotlib.colors import LogNorm

        axes = figure.subplots()
        norm, colours = LogNorm(d.min(), d.max()), colormaps[_COLOURS]
        for tokens in np.geomspace(d.min(), d.max(), _CURVES):
            _law_line(axes, x, predict(fit, x, tokens), n.max(), color=colours(norm(tokens)), linewidth=1.3)
        dot: dict[str, Any] = {"norm": norm, "cmap": _COLOURS, "edgecolors": "white", "linewidths": 0.5, "zorder": 3}
        dots = axes.scatter(n, fit.y, 34, d, label=f"{fit.points} runs", **dot)
        figure.colorbar(dots, ax=axes, label=AXES["D"], pad=0.02)
        _fitted_floor(axes, fit, colour(1), span=False)
        axes.plot([], [], color=GREY, label=f"law at {_CURVES} numbers of tokens")
        axes.set_xscale("log")
        _law_axes(axes, x, n.max(), AXES["N"])
        exponents = ", ".join(show(name, fit.values[name]) for name in fit.law.exponents)
        axes.set_title(f"{fit.law.formula}\n{exponents}")


def draw_isoflop(result: Isoflop, out: PathLike, *, parametric: Fit | None = None, source: str = "") -> None:
    """Left, the parabola of each budget and its minimum; right, the minima against FLOPs with their power law.

    The compute-optimal sizes of `parametric`, a fit of the same runs, are drawn beside.
    """
    with drawing(out, (11.0, 5.0), source) as figure:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LogNorm

        left, right = figure.subplots(1, 2)
        budgets = np.array([p.flops for p in result.parabolas])
        norm = LogNorm(budgets[0] / 1.5, budgets[-1] * 1.5)
        for p in result.parabolas:
            shade = colormaps[_COLOURS](norm(p.flops))
            x = np.geomspace(p.sizes.min(), p.sizes.max(), _POINTS)
            left.plot(x, np.polynomial.Polynomial(p.coefficients)(np.log(x) - p.centre), color=shade, linewidth=1.2)
            left.plot(p.sizes, p.loss, marker="o", color=shade, markersize=4, **_DOT)
            left.plot(p.best.value, p.lowest, marker="*", color=colour(1), markersize=11, **_DOT)
            reach = np.abs(np.array([[p.best.low], [p.best.high]]) - p.best.value)
            mark: dict[str, Any] = {"color": shade, "marker": "*", "markersize": 10, "capsize": 2, "zorder": 3}
            right.errorbar(p.flops, p.best.value, np.nan_to_num(reach), **mark)
        left.set_xscale("log")
        _loss_axis(left, AXES["N"])
        left.set_title("parabolas at equal FLOPs, stars at their minima")
        figure.colorbar(ScalarMappable(norm, _COLOURS), ax=left, label=AXES["C"], pad=0.02)
        _frontier(right, result, parametric)
        right.set(xscale="log", yscale="log", xlabel=AXES["C"], ylabel="compute-optimal parameters")
        right.set_title("minima (bars: 95 % intervals)")
        if right.get_legend_handles_labels()[1]:
            right.legend(loc="upper left")


def draw_forest(groups: Mapping[str, Mapping[str, Value]], out: PathLike, *, source: str = "") -> None:
    """Exponents with intervals: a panel for each quantity, and in it a line for each source, ours first.

    A value with nan bounds is a hollow mark without a bar. ValueError: a group without values.
    """
    if not groups or not all(groups.values()):
        raise ValueError("draw_forest needs a value in every group")
    lines = [len(values) for values in groups.values()]
    with drawing(out, (7.6, 1.1 * len(groups) + 0.36 * sum(lines) + 0.5), source) as figure:
        panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[n + 0.8 for n in lines])[:, 0]
        for axes, (quantity, values) in zip(panels, groups.items(), strict=True):
            for i, v in enumerate(values.values()):
                known = np.isfinite([v.low, v.high]).all()
                shade = colour(0) if i == 0 else "#555555"
                if known:
                    axes.plot([v.low, v.high], [i, i], color=shade, linewidth=2.2, solid_capstyle="butt")
                axes.plot(v.value, i, marker=marker(0), color=shade, markerfacecolor=shade if known else "white")
                axes.annotate(cell(v), (1.02, i), xycoords=("axes fraction", "data"), va="center")
            axes.axvline(next(iter(values.values())).value, color=colour(0), linewidth=0.8, linestyle=":", zorder=0)
            axes.set_yticks(range(len(values)), [plain(name) for name in values])
            axes.set_ylim(len(values) - 0.4, -0.6)
            axes.margins(x=0.08)
            axes.set_title(plain(quantity), loc="left")
            axes.grid(visible=False, axis="y")
        panels[-1].set_xlabel("bars: 95 % intervals; hollow: published without one")


def _law_line(axes: Axes, x: np.ndarray, y: np.ndarray, largest: float, label: str = "", **look: Any) -> None:
    """Solid up to twice the largest run, dashed from there."""
    seen = x <= FAR * largest
    axes.plot(x[seen], y[seen], label=plain(label) if label else None, **look)
    start = max(int(seen.sum()) - 1, 0)  # the dashes begin where the line ends
    axes.plot(x[start:], y[start:], linestyle=(0, (4, 3)), **look)


def _mark_extrapolation(axes: Axes, largest: float) -> None:
    axes.axvline(FAR * largest, color=GREY, linewidth=1.0)
    place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    axes.annotate("extrapolation", (FAR * largest, 0.02), (5, 0), color="#555555", fontsize=9, bbox=box, **place)


def _fitted_floor(axes: Axes, fit: Fit, shade: str, span: bool = True) -> None:
    """A line at E and its interval; a floor far below every run is left to the legend, as it would flatten the runs."""
    e, lowest, highest = fit.values["E"], fit.y.min() / _NEAR, fit.y.max()
    if span and e.high > lowest and e.low < highest:
        axes.axhspan(max(e.low, lowest), min(e.high, highest), color=shade, alpha=0.12, linewidth=0)
    name = f"fitted floor, {show('E', e)}"
    if e.value > lowest:
        axes.axhline(e.value, color=shade, linestyle=":", label=name)
    else:
        axes.plot([], [], color=shade, linestyle=":", label=f"{name}: below the picture")


def _law_axes(axes: Axes, x: np.ndarray, largest: float, label: str) -> None:
    _mark_extrapolation(axes, largest)
    axes.set_xlim(x[0] / 1.3, x[-1])
    _loss_axis(axes, label)
    axes.legend(loc="upper right")


def _loss_axis(axes: Axes, xlabel: str) -> None:
    """Logarithmic, with plain numbers: losses seldom span a decade, and powers of ten alone would leave it bare."""
    from matplotlib.ticker import AutoLocator, NullLocator, ScalarFormatter

    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="loss, nats a token")
    axes.margins(y=0.12)  # room for text below the floor
    axes.yaxis.set_major_locator(AutoLocator())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_locator(NullLocator())


def _frontier(axes: Axes, result: Isoflop, parametric: Fit | None) -> None:
    budgets = [p.flops for p in result.parabolas]
    x = np.geomspace(budgets[0] / 2, budgets[-1] * 8 * FAR, _POINTS)
    if result.values:
        if len(result.samples):
            curves = np.exp(result.samples[:, :1] + result.samples[:, 1:] * np.log(x))
            axes.fill_between(x, *np.quantile(curves, [0.025, 0.975], axis=0), color=colour(1), alpha=0.18, linewidth=0)
        best = result.values["k_N"].value * x ** result.values["a"].value
        _law_line(axes, x, best, result.largest, f"minima: {show('a', result.values['a'])}", color=colour(1))
    if parametric is not None:
        drawn = draws(parametric)
        best = compute_optimal({k: v.value for k, v in parametric.values.items()}, x).n
        curves = compute_optimal({k: v[:, None] for k, v in drawn.items()}, x).n
        axes.fill_between(x, *bounds(curves, parametric.whole), color=colour(0), alpha=0.15, linewidth=0)
        label = f"parametric law: {show('a', parametric.values['a'])}"
        _law_line(axes, x, best, result.largest, label, color=colour(0))
    axes.set_xlim(x[0], x[-1])
    _mark_extrapolation(axes, result.largest)
