"""How well planted senses are found without labels, by model and layer, beside the best possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from w2v_jax.figures.style import DASHED, GREY, colour, drawing, marker, plain
from w2v_jax.files import PathLike


def draw(runs: Mapping[str, Sequence[Mapping[str, Any]]], out: PathLike, source: str = "") -> None:
    """Accuracy of two clusters a word for every layer of every run (`experiments.senses --planted`, once for each
    seed), in per cent: the mean over seeds, and a bar from the lowest to the highest."""
    with drawing(out, (9.4, 5.4), source) as figure:
        axes = figure.subplots()
        seen: set[str] = set()
        for at, seeds in enumerate(runs.values()):
            names = [layer["layer"] for layer in seeds[0]["layers"]]
            for k, name in enumerate(names):
                heights = [100 * seed["layers"][k]["two"]["accuracy"] for seed in seeds]
                x = at + 0.14 * (k - (len(names) - 1) / 2)
                shape = _shape(name, k)
                axes.plot([x, x], [min(heights), max(heights)], color=shape["color"], linewidth=1.5, zorder=2)
                label = plain(name) if name not in seen else None
                axes.plot([x], [fmean(heights)], linestyle="", markersize=7, label=label, zorder=3, **shape)
                seen.add(name)
        first = next(iter(runs.values()))[0]
        axes.axhline(100 * first["best"], label="best possible given the passage", **DASHED)
        axes.axhline(100 * first["best_causal"], label="best possible up to the word", **DASHED | {"linestyle": ":"})
        axes.axhline(100 * first["majority"], label="most frequent sense", **DASHED | {"color": GREY})
        axes.set_xticks(range(len(runs)), [plain(name) for name in runs], rotation=20, ha="right")
        axes.set_ylim(50, 102)
        axes.set(ylabel="occurrences in the right cluster (%)")
        title = f"{first['occurrences']:,} occurrences of {first['words']} words with two planted senses"
        axes.set_title(f"{title}, {max(map(len, runs.values()))} seeds")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def _shape(name: str, number: int) -> dict[str, Any]:
    """Colour and marker of a layer: window means have their own."""
    index = number + 2 * ("mean" in name)
    return {"color": colour(index), "marker": marker(index)}
