"""The contexts of a word on a plane: clusters in colour, given sentences and the vector without context beside them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.figures.labels import place_labels
from w2v_jax.figures.maps import Plane, project
from w2v_jax.figures.style import colour, drawing, marker, plain
from w2v_jax.files import PathLike

_LABEL = 40  # characters of a label
_AXES = {"pca": "principal component", "tsne": "t-SNE axis", "mds": "MDS axis"}


class Labelled(NamedTuple):
    """A text beside a point."""

    point: int
    text: str


def draw(
    word: str,
    vectors: np.ndarray,
    clusters: np.ndarray,
    names: Sequence[str],
    examples: Sequence[Labelled],
    out: PathLike,
    *,
    given: np.ndarray | None = None,
    sentences: Sequence[str] = (),
    static: np.ndarray | None = None,
    total: int = 0,
    about: str = "",
    projection: str = "pca",
    seed: int = 0,
    source: str = "",
) -> Plane:
    """Draws the occurrences of a word.

    Args:
      vectors: float [N, D] of the occurrences; `clusters` int [N] and the `names` of the clusters for the legend.
      examples: occurrences with a label, the important ones first; labels without room are left out.
      given, sentences: vectors [S, D] of sentences to point out, and these.
      static: the vector of the word without context, [D].
      total: occurrences in the text, of which N are drawn; `about` names model and layer.
      projection: 'pca', 'tsne' or 'mds', see `w2v_jax.figures.maps.project`.

    Returns:
      The plane of vectors, given sentences and the vector without context, in this order. UserError: as `project`.
    """
    from matplotlib.patheffects import withStroke

    extra = [given] if given is not None and len(given) else []
    extra += [] if static is None else [static[None]]
    plane = project(np.concatenate([vectors, *extra]), projection, seed)
    points, count = plane.points, len(vectors)
    with drawing(out, (11.0, 7.4), source) as figure:
        axes = figure.add_subplot()
        for k, name in enumerate(names):
            here = points[:count][clusters == k]
            label = plain(textwrap.fill(f"{name} ({len(here)})", 44))
            axes.plot(*here.T, marker(k), color=colour(k), markersize=4.0, alpha=0.6, label=label, linestyle="")
        look = {"linestyle": "", "markeredgecolor": "black", "zorder": 6}
        if static is not None:
            axes.plot(*points[-1], "*", color="#FFD700", markersize=17, label="its one vector without context", **look)
        if len(sentences):
            own = points[count : count + len(sentences)]
            axes.plot(*own.T, "D", color="white", markersize=8, label="given sentences", **look)
        labels = [Labelled(count + i, _short(text)) for i, text in enumerate(sentences)]
        labels += [Labelled(one.point, _short(one.text)) for one in examples]
        shades = ["black"] * len(sentences) + [colour(int(clusters[one.point])) for one in examples]
        names_of = [f"{_AXES[projection]} {i + 1}" for i in range(2)]
        if plane.explained is not None:
            names_of = [f"{n} ({s:.1%} of variance)" for n, s in zip(names_of, plane.explained, strict=True)]
        axes.set(xlabel=names_of[0], ylabel=names_of[1])
        drawn = f"{count:,} of {total:,} occurrences" if total > count else f"{count:,} occurrences"
        axes.set_title(plain(f"{word}: {drawn}; {about}"))
        axes.margins(0.1)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=8.5)
        place_labels(axes, points[[one.point for one in labels]], [one.text for one in labels], shades, 7.5, 8, 3.0)
        for text in axes.texts:  # readable over points
            text.set_path_effects([withStroke(linewidth=2.5, foreground="white", alpha=0.85)])
    return plane


def _short(text: str) -> str:
    """The words around the word in brackets, as many as fit into a label."""
    words = text.split()
    low = next((i for i, word in enumerate(words) if word.startswith("[")), 0)
    high, used = low + 1, len(words[low]) if words else 0
    for far in range(1, len(words)):
        for at in (low - 1, high) if far % 2 else (high, low - 1):
            if 0 <= at < len(words) and used + len(words[at]) < _LABEL:
                low, high, used = min(low, at), max(high, at + 1), used + len(words[at]) + 1
    return " ".join(words[low:high])
