"""Loss of language models by position: how much the context helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w2v_jax.figures.style import BARS, drawing, look
from w2v_jax.files import PathLike


def draw(curves: Mapping[str, Sequence[Mapping[str, float]]], out: PathLike, source: str = "") -> dict[str, np.ndarray]:
    """Mean loss against the number of tokens before it, one line per legend entry.

    `curves` holds records of `w2v_jax.evaluation.language.by_position`. Returns the lines as drawn: (position, loss)
    [bins, 2] by legend entry.
    """
    with drawing(out, (7.6, 4.6), source) as fig:
        axes = fig.subplots()
        for i, (name, bins) in enumerate(curves.items()):
            # The middle of bins [first, last] on a logarithmic scale of 1 + position.
            x = [((b["first"] + 1) * (b["last"] + 1)) ** 0.5 for b in bins]
            axes.errorbar(x, [b["nats"] for b in bins], [2 * b["error"] for b in bins], **look(i, name), **BARS)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("position (1 + tokens before), bins of doubling width")
        axes.set_ylabel("loss, nats a token (bars: two standard errors)")
        axes.set_title("Loss by position")
        axes.legend()
        lines, labels = axes.get_legend_handles_labels()
    return {label: np.asarray(line[0].get_xydata()) for line, label in zip(lines, labels, strict=True)}
