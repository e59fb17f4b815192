"""Loss by size of two studies of the same models, texts and amounts, drawn on one axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from w2v_jax.figures.style import PathLike, colour, drawing, marker, plain

Curves = Mapping[float, tuple[np.ndarray, np.ndarray]]  # (parameters, loss) of the runs, by tokens
_LINES = ("--", "-")


def draw(studies: Mapping[str, Curves], out: PathLike, *, source: str = "") -> None:
    """Held-out loss by parameters: a colour for each amount of text, a line and a marker for each of two studies."""
    from matplotlib.ticker import NullFormatter

    with drawing(out, (7.6, 5.0), source) as figure:
        axes = figure.subplots()
        for i, (name, curves) in enumerate(studies.items()):
            for j, (tokens, (sizes, losses)) in enumerate(sorted(curves.items())):
                look = {"color": colour(j), "linestyle": _LINES[i], "marker": marker(i), "markersize": 6}
                face = {} if i else {"markerfacecolor": "white"}
                axes.plot(sizes, losses, label=plain(f"{name}, {tokens:,.0f} tokens"), **look, **face)
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="parameters", ylabel="held-out loss, nats a token")
        axes.legend(fontsize=8)
