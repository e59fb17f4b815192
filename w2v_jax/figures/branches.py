"""Two grids of runs beside one another: one trunk a size with a decay for each amount of text, and a run for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w2v_jax.figures.style import Axes, PathLike, colour, drawing, marker, plain
from w2v_jax.scaling.describe import cell
from w2v_jax.scaling.fitted import Value

Curves = Mapping[int, tuple[np.ndarray, np.ndarray]]  # (tokens, loss) of every run, by parameters
_LINES = ("-", "--")
_APART = 0.16  # of a line of the right panel


def draw(
    grids: Mapping[str, Curves],
    values: Mapping[str, Sequence[Value]],
    out: PathLike,
    *,
    optimum: float,
    source: str = "",
) -> None:
    """Left, loss above the best possible by tokens and size, each run and the means of the seeds; right, `values` by
    name, one of each of the two `grids`, with their intervals."""
    from matplotlib.ticker import NullFormatter

    with drawing(out, (11.2, 4.7), source) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
        for grid, (name, curves) in enumerate(grids.items()):
            for size, (n, (tokens, loss)) in enumerate(curves.items()):
                _joined(left, size, grid, tokens, loss - optimum, f"{name}, {n:,} parameters")
        left.set_xscale("log")
        left.xaxis.set_minor_formatter(NullFormatter())
        left.set_yscale("log")
        left.set(xlabel="tokens", ylabel=f"nats a token above the best possible, {optimum:.4f}")
        left.set_title("every run; lines: means of the seeds")
        left.legend(fontsize=8)
        for i, pair in enumerate(values.values()):
            for grid, value in enumerate(pair):
                at = i + (2 * grid - 1) * _APART
                shade = colour(3 + grid)
                right.plot([value.low, value.high], [at] * 2, color=shade, linewidth=2.2, solid_capstyle="butt")
                known = {"label": plain([*grids][grid])} if i == 0 else {}
                right.plot(value.value, at, marker(grid), color=shade, markersize=5, **known)
                right.annotate(cell(value), (value.value, at), (0, 5), textcoords="offset points", ha="center", size=8)
        right.set_yticks(range(len(values)), [plain(name) for name in values])
        right.set_ylim(len(values) - 0.5, -0.6)
        right.set_xscale("log")
        right.margins(x=0.2)  # room for the numbers
        right.set_xlabel("exponent; bars: 95 % intervals")
        right.set_title("what is fitted to each")
        right.legend(loc="lower right")


def _joined(axes: Axes, size: int, grid: int, x: np.ndarray, y: np.ndarray, name: str) -> None:
    """Every run of a size, and a line through the mean of the seeds at each amount of text."""
    face = colour(size) if grid == 0 else "white"
    axes.plot(x, y, marker(grid), color=colour(size), markerfacecolor=face, markersize=4, alpha=0.6)
    amounts, which = np.unique(x, return_inverse=True)
    mean = np.bincount(which, y) / np.bincount(which)
    axes.plot(amounts, mean, _LINES[grid], color=colour(size), label=plain(name))
