"""Loss by position: how much a language model makes of what came before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w2v_jax.figures.style import colour, drawing, marker, plain
from w2v_jax.files import PathLike


def draw(curves: Mapping[str, Sequence[Mapping[str, float]]], out: PathLike, source: str = "") -> dict[str, np.ndarray]:
    """Mean loss against the number of tokens before, one line for each text and way of counting.

    Args:
      curves: records of `w2v_jax.evaluation.language.by_position` by what stands in the legend.

    Returns:
      What is drawn: (position, loss) of each bin, [bins, 2], by what stands in the legend.
    """
    with drawing(out, (7.6, 4.6), source) as fig:
        axes = fig.subplots()
        for i, (name, bins) in enumerate(curves.items()):
            # Bins are [first, last]; on a scale of 1 + position their middle is geometric.
            x = [((b["first"] + 1) * (b["last"] + 1)) ** 0.5 for b in bins]
            axes.errorbar(
                x,
                [b["nats"] for b in bins],
                yerr=[2 * b["error"] for b in bins],
                color=colour(i),
                marker=marker(i),
                markeredgecolor="white",
                capsize=2,
                label=plain(name),
            )
        axes.set_xscale("log", base=2)
        axes.set_xlabel("position (1 + tokens before), bins of doubling width")
        axes.set_ylabel("loss, nats a token (bars: two standard errors)")
        axes.set_title("Loss by position")
        axes.legend()
        lines, labels = axes.get_legend_handles_labels()
    return {label: np.asarray(line[0].get_xydata()) for line, label in zip(lines, labels, strict=True)}
