"""How well planted senses are found without labels, by model and layer, beside the best possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2v_jax.figures.style import DASHED, GREY, colour, drawing, marker, plain
from w2v_jax.files import PathLike


def draw(runs: Mapping[str, Mapping[str, Any]], out: PathLike, source: str = "") -> None:
    """Accuracy of two clusters a word for every layer of every run (`experiments.senses --planted`), in per cent."""
    with drawing(out, (9.4, 5.4), source) as figure:
        axes = figure.subplots()
        seen: set[str] = set()
        for at, run in enumerate(runs.values()):
            layers = run["layers"]
            heights = [100 * layer["two"]["accuracy"] for layer in layers]
            axes.plot([at] * len(heights), heights, color="#CCCCCC", linewidth=1.0, zorder=1)
            for k, (layer, height) in enumerate(zip(layers, heights, strict=True)):
                label = plain(layer["layer"]) if layer["layer"] not in seen else None
                shape = _shape(layer["layer"], k)
                axes.plot([at], [height], linestyle="", markersize=7, label=label, zorder=3, **shape)
                seen.add(layer["layer"])
        first = next(iter(runs.values()))
        axes.axhline(100 * first["best"], label="best possible given the passage", **DASHED)
        axes.axhline(100 * first["best_causal"], label="best possible up to the word", **DASHED | {"linestyle": ":"})
        axes.axhline(100 * first["majority"], label="most frequent sense", **DASHED | {"color": GREY})
        axes.set_xticks(range(len(runs)), [plain(name) for name in runs], rotation=20, ha="right")
        axes.set_ylim(50, 102)
        axes.set(ylabel="occurrences in the right cluster (%)")
        axes.set_title(f"{first['occurrences']:,} occurrences of {first['words']} words with two planted senses")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def _shape(name: str, number: int) -> dict[str, Any]:
    """Colour and marker of a layer: window means have their own."""
    index = number + 2 * ("mean" in name)
    return {"color": colour(index), "marker": marker(index)}
