"""Two studies of one text beside one another: loss by size, and what the words before gain by amount of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2v_jax.figures.style import drawing, look
from w2v_jax.files import PathLike


def draw(result: Mapping[str, Any], out: PathLike, source: str = "") -> None:
    """Left, loss by parameters at the most tokens, a line an arm; right, nats gained by tokens at the largest size.

    `result` has 'runs', rows with arm, parameters, tokens, heldout_loss, gained, and longest for those of the most
    tokens. An arm is called STUDY, MODEL: a model has one colour, and all studies but the first have broken lines.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    rows = result["runs"]
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    models = list(dict.fromkeys(arm.partition(", ")[2] for arm in arms))
    study = arms[0].partition(", ")[0]
    with drawing(out, (10.5, 5.2), source) as figure:
        left, right = figure.subplots(1, 2)
        for arm in arms:
            i, of = models.index(arm.partition(", ")[2]), arm.partition(", ")[0]
            line = look(i, arm) | ({} if of == study else {"linestyle": "--"})
            own = [row for row in rows if row["arm"] == arm]
            points = sorted((row["parameters"], row["heldout_loss"]) for row in own if row["longest"])
            left.plot(*zip(*points, strict=True), **line)
            size = max(row["parameters"] for row in own)
            curve = sorted((row["tokens"], row["gained"]) for row in own if row["parameters"] == size)
            right.plot(*zip(*curve, strict=True), **line)
        left.set(xscale="log", xlabel="parameters", ylabel="held-out loss, nats a word")
        right.set(xscale="log", xlabel="training words", ylabel="nats gained by the words before, largest size")
        for axes in (left, right):
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
