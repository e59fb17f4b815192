"""How contextual the vectors of words are, by layer and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from w2v_jax.figures.style import drawing, legend_beside, look
from w2v_jax.files import PathLike

Layer = Mapping[str, float | None]
PANELS: tuple[tuple[str, str, Callable[[Layer], float | None]], ...] = (  # (title, axis, the number of a layer)
    ("Any two words", "mean cosine", lambda layer: layer["anisotropy"]),
    ("Occurrences of one word, above any two", "cosine", lambda layer: _less(layer, "self_similarity", "anisotropy")),
    ("A word and its sentence, above any two", "cosine", lambda layer: _less(layer, "intra_sentence", "anisotropy")),
    ("Explained by one vector, above chance", "share", lambda layer: _less(layer, "explained", "explained_random")),
    ("Change from the layer before", "times the length before", lambda layer: layer["moved"]),
    ("Direction of the layer before", "cosine", lambda layer: layer["turned"]),
)
SENSE = "Sense of the word, by a linear probe", "recall", lambda layer: layer["sense"]


def _less(layer: Layer, first: str, second: str) -> float | None:
    a, b = layer[first], layer[second]
    return None if a is None or b is None else a - b


def draw(result: Mapping[str, Any], out: PathLike, source: str = "") -> None:
    """A panel for each measure, for probes of the sense too where there are any, and a line for each run. `result` is
    what `experiments.geometry` writes. Word vectors and the means around a word, which are no layers of one model, have
    points without a line."""
    runs = result["runs"]
    probed = all("sense" in layer for run in runs.values() for layer in run["layers"])
    panels, columns = (*PANELS, *([SENSE] if probed else [])), 4 if probed else 3
    with drawing(out, (4.2 * columns + 1.6, 7.6), source) as fig:
        grid: Any = fig.subplots(2, columns).reshape(-1)
        for axes in grid[len(panels) :]:
            axes.remove()
        for axes, (title, unit, number) in zip(grid, panels, strict=False):
            for i, (name, run) in enumerate(runs.items()):
                points = [(x, number(layer)) for x, layer in enumerate(run["layers"])]
                there = [(x, y) for x, y in points if y is not None]
                style = "-" if all(part.startswith("layer") for part in run["names"][1:]) else ""
                axes.plot([x for x, _ in there], [y for _, y in there], linestyle=style, markersize=5, **look(i, name))
            axes.set_xticks(range(max(len(run["layers"]) for run in runs.values())))
            axes.set(xlabel="layer (0: word vectors)", ylabel=unit)
            axes.set_title(title)
        grid[4].set_yscale("log")
        legend_beside(grid[columns - 1])
