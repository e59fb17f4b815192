"""Analogies by kind of question and by architecture, with published numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from w2v_jax.figures.style import colour, drawing, plain
from w2v_jax.files import PathLike

KINDS = ("semantic", "syntactic", "total")
_THEIRS: dict[str, Any] = {
    "marker": "D",
    "linestyle": "none",
    "color": "white",
    "markeredgecolor": "black",
    "zorder": 4,
}


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """(mean, half of the range) of some seeds."""
    return float(np.mean(values)), float(np.ptp(values)) / 2.0


def draw_kinds(
    models: Mapping[str, Sequence[Mapping[str, Any]]],
    theirs: Mapping[str, Mapping[str, float]],
    queen: Mapping[str, Sequence[Sequence[Any]]],
    vocabulary: int,
    out: PathLike,
    source: str = "",
) -> None:
    """Left: per cent right of each kind of question, a group of bars a kind, a bar a model, the mean over its seeds
    with the range; hatched, the same with the words of the question allowed as answers; diamonds are the published.
    Right: the answers to king - man + woman, with their cosines, without the words of the question and with them.

    models: {name: one entry a seed, {'excluded': {kind: %}, 'included': {kind: %}}}; theirs: {name: {kind: %}};
    queen: {'excluded' and 'included': [(word, cosine), ...]}, the best first; vocabulary: words that could answer.
    """
    with drawing(out, (10.6, 4.8), source) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        width = 0.8 / len(models)
        for i, (name, runs) in enumerate(models.items()):
            place = np.arange(len(KINDS)) + (i - (len(models) - 1) / 2) * width
            for allowed, look in (("excluded", {"alpha": 0.85}), ("included", {"hatch": "///", "edgecolor": "white"})):
                found = [mean_and_spread([run[allowed][kind] for run in runs]) for kind in KINDS]
                heights, spread = np.array(found).T
                label = f"{name}, ours" if allowed == "excluded" else f"{name}, question's words allowed"
                shade = colour(i if allowed == "excluded" else i + 3)
                left.bar(place, heights, width * 0.92, color=shade, label=label, **look)
                left.errorbar(place, heights, yerr=spread, fmt="none", ecolor="black", capsize=3, linewidth=1.0)
            if name in theirs:
                label = "" if i else "published, on 783 M words"
                left.plot(place, [theirs[name][kind] for kind in KINDS], label=label or "_", **_THEIRS)
        left.set_xticks(np.arange(len(KINDS)), KINDS)
        left.set_ylabel("questions answered, %")
        left.grid(visible=False, axis="x")
        left.set_title("Analogies by kind of question")
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
        _answers(right, queen)
        right.set_title(f"king - man + woman, among {vocabulary:,} words")


def _answers(axes: Any, queen: Mapping[str, Sequence[Sequence[Any]]]) -> None:
    names = {"excluded": "question's words left out", "included": "all words allowed"}
    rows = [(key, str(word), float(cosine)) for key in names for word, cosine in queen[key]]
    place = -np.arange(len(rows), dtype=float)
    place[len(queen["excluded"]) :] -= 1.0
    shades = [colour(0 if key == "excluded" else 3) for key, _, _ in rows]
    axes.barh(place, [cosine for _, _, cosine in rows], 0.7, color=shades)
    axes.set_yticks(place, [plain(word) for _, word, _ in rows])
    for key, shade in (("excluded", colour(0)), ("included", colour(3))):
        first = next(i for i, row in enumerate(rows) if row[0] == key)
        axes.text(0.0, place[first] + 0.55, names[key], color=shade, fontsize=9, va="bottom")
    axes.set_xlabel("cosine")
    axes.set_ylim(place[-1] - 0.6, 1.3)
    axes.grid(visible=False, axis="y")
