"""Topics of two models side by side: how their loadings correlate, and the words of the topics that were matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from w2v_jax.figures.style import DASHED, colour, drawing, plain
from w2v_jax.files import PathLike

WORDS = 6  # of a topic


def draw(
    pairs: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    chance: Mapping[str, float],
    out: PathLike,
    source: str = "",
) -> np.ndarray:
    """One line per pair of matched topics: its words in both models, the share of the words in common and the
    correlation of the loadings, as bars. `chance` has the mean of both for models without a link, drawn as lines.

    Each of the M pairs has 'first' and 'second' (words, likeliest first), 'words' and 'documents' (shares); `names`
    are those of the two models. Returns float64 [M, 2], the lengths of the bars.
    """
    shown = np.array([[pair["words"], pair["documents"]] for pair in pairs], np.float64)
    place = np.arange(len(pairs))
    with drawing(out, (11.5, 1.7 + 0.3 * len(pairs)), source) as figure:
        texts, bars = figure.subplots(1, 2, width_ratios=(3.1, 1.0))
        texts.set_axis_off()
        texts.set_xlim(0, 2)
        for axes in (texts, bars):
            axes.set_ylim(len(pairs) - 0.4, -0.9)
        for side, key in enumerate(("first", "second")):
            texts.text(side, -0.75, plain(names[side]), fontweight="bold")
            for y, pair in zip(place, pairs, strict=True):
                line = " ".join(pair[key][:WORDS])
                texts.text(side, y, plain(line if len(line) < 52 else f"{line[:50]}…"), fontsize=8.5, va="center")
        labels = {"words": "words in common", "documents": "correlation of documents"}
        for column, (key, label) in enumerate(labels.items()):
            low = 0.38 * (column - 0.5)
            bars.barh(place + low, shown[:, column], 0.36, color=colour(column), label=label)
            bars.axvline(chance[key], **DASHED | {"color": colour(column)})
        bars.set_xlim(0, 1)
        bars.set_yticks([])
        bars.grid(visible=False, axis="y")
        bars.set_xlabel("dashed: by chance")
        bars.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=8)
        figure.suptitle(plain(f"Topics of {names[0]} and {names[1]}, matched by their documents"), fontsize=11)
    return shown
