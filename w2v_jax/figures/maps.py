"""Words on a plane: a labelled projection of their vectors, with groups or clusters in colour."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from w2v_jax.config import check_choice
from w2v_jax.errors import UserError
from w2v_jax.figures.labels import joined, place_labels
from w2v_jax.figures.style import GREY, MARKERS, PALETTE, Axes, check_ending, colour, drawing, legend_beside, marker
from w2v_jax.files import PathLike

PROJECTIONS = ("pca", "tsne", "mds")
_NAMES = {"pca": "principal component", "tsne": "t-SNE axis", "mds": "MDS axis"}
_MOST_CLUSTERS = len(PALETTE)
_FEW = 60  # words, up to which labels are large and should all find a place


@dataclasses.dataclass(frozen=True)
class Plane:
    """A projection of n vectors."""

    points: np.ndarray  # float64 [n, 2]
    explained: tuple[float, float] | None  # share of variance on each axis; PCA only
    agreement: float  # Spearman's correlation of distances in the plane with those of the unit vectors, -1 to 1


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float64 [n, D]; a zero vector stays zero."""
    wide = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0))


def project(vectors: np.ndarray, projection: str = "pca", seed: int = 0) -> Plane:
    """Vectors [n, D], scaled to length 1, on a plane; `seed` is that of t-SNE and MDS.

    PCA keeps the two directions of largest variance: X = U S V^T of the centred vectors, points = U_2 S_2. t-SNE (van
    der Maaten & Hinton 2008), started from PCA, keeps neighbours together; MDS (SMACOF) approximates distances.
    UserError: n < 3 or D < 2, an unknown projection, a value that is not finite, n equal vectors.
    """
    check_choice("--projection", projection, PROJECTIONS)
    if len(vectors) < 3 or vectors.shape[1] < 2:
        raise UserError(f"a map of {len(vectors)} words in {vectors.shape[1]} dimensions: needs 3 words, 2 dimensions")
    if not np.isfinite(vectors).all():
        raise UserError("a vector holds a NaN or an infinity: no map can be drawn; write the vectors again")
    from scipy.spatial.distance import pdist
    from scipy.stats import spearmanr
    from sklearn import decomposition, manifold
    from threadpoolctl import threadpool_limits

    rows, explained = unit(vectors), None
    if np.ptp(rows, axis=0).max() == 0:
        raise UserError("the words of the map all have the same vector: there is nothing to draw")
    with threadpool_limits(1):  # more threads gain nothing at this size, and are slow where cores are shared
        if projection == "pca":
            pca = decomposition.PCA(n_components=2, svd_solver="full")
            points = pca.fit_transform(rows)
            first, second = pca.explained_variance_ratio_
            explained = (float(first), float(second))
        elif projection == "tsne":
            perplexity = min(30.0, (len(rows) - 1) / 3)
            points = manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows)
        else:
            points = manifold.MDS(2, n_init=4, init="random", random_state=seed).fit_transform(rows)
    plane, space = pdist(points), pdist(rows)
    varied = np.ptp(plane) > 0 and np.ptp(space) > 0
    return Plane(np.asarray(points, np.float64), explained, float(spearmanr(plane, space)[0]) if varied else 0.0)


def cluster(words: Sequence[str], vectors: np.ndarray, count: int = 0, seed: int = 0) -> dict[str, list[str]]:
    """k-means on vectors [n, D] scaled to length 1; a cluster is named by the three words nearest to its centre.

    `count` 0 takes about sqrt(n) clusters, at most 8. UserError: fewer than 0, more than 8, or more than n.
    """
    if not 0 <= count <= min(_MOST_CLUSTERS, len(words)):
        raise UserError(f"--clusters={count}: must be 0 (chosen) to {min(_MOST_CLUSTERS, len(words))}")
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    count = count or min(_MOST_CLUSTERS, max(2, round(float(np.sqrt(len(words))))))
    rows = unit(vectors)
    count = min(count, len(np.unique(rows, axis=0)))
    with threadpool_limits(1):
        fitted = KMeans(count, n_init=10, random_state=seed).fit(rows)
    found: dict[str, list[str]] = {}
    for k in sorted(range(count), key=lambda k: int(np.argmax(fitted.labels_ == k))):
        members = np.flatnonzero(fitted.labels_ == k)
        central = members[np.argsort(-(rows[members] @ fitted.cluster_centers_[k]), kind="stable")].tolist()
        found[joined([words[i] for i in central])] = [words[i] for i in members.tolist()]
    return found


def draw_map(
    words: Sequence[str],
    vectors: np.ndarray,
    out: PathLike,
    groups: Mapping[str, Sequence[str]] | None = None,
    projection: str = "pca",
    *,
    clusters: int = 0,
    seed: int = 0,
    vocabulary: int = 0,
    source: str = "",
) -> Plane:
    """Draws words on a plane, as projected, with labels that do not overlap; those without room are counted.

    Args:
      words: n distinct words, the most important first: their labels are placed first.
      vectors: [n, D]; scaled to length 1, so that the plane shows directions, as cosine does.
      groups: words by group name, in colour and outlined; words of no group are grey. None: clusters by k-means.
      clusters: number without `groups`; 0 chooses.
      vocabulary: size of the whole vocabulary, for the title; 0 leaves it out.

    UserError: a group's word that is not among `words`; see also `project` and `cluster`.
    """
    check_ending(out)
    index = {word: i for i, word in enumerate(words)}
    for name, members in (groups or {}).items():
        absent = next((word for word in members if word not in index), None)
        if absent is not None:
            raise UserError(f"group {name!r}: {absent!r} is not among the words of the map; add it or leave it out")
    plane = project(np.asarray(vectors), projection, seed)
    named = groups if groups is not None else cluster(words, np.asarray(vectors), clusters, seed)
    grouped = {word: k for k, members in enumerate(named.values()) for word in members}
    colours = [colour(grouped[word]) if word in grouped else "#333333" for word in words]
    fontsize, rings, mark = (10.0, 8, 8.0) if len(words) <= _FEW else (7.5, 3, 5.5)
    radius = 0.045 * float(np.ptp(plane.points, axis=0).max() or 1.0)
    with drawing(out, (11.0, 7.5), source) as figure:
        axes = figure.add_subplot()
        for k, (name, members) in enumerate(named.items()):
            places = plane.points[[index[word] for word in members]]
            if groups is not None:
                _outline(axes, places, radius, colour(k))
            axes.plot(*places.T, marker(k), color=colour(k), markersize=mark, label=joined([name], 1), zorder=4)
        rest = plane.points[[i for i, word in enumerate(words) if word not in grouped]]
        if len(rest):
            axes.plot(*rest.T, MARKERS[0], color=GREY, markersize=mark - 1, label="other words", zorder=3)
        _dress(axes, plane, projection, (len(words), vocabulary, int(np.shape(vectors)[1])))
        legend_beside(axes, "groups" if groups is not None else "k-means clusters, by central words")
        left_out = place_labels(axes, plane.points, words, colours, fontsize, rings, mark / 2)
        if left_out:
            note = f"{left_out} labels left out for lack of room"
            axes.text(0.0, 1.005, note, transform=axes.transAxes, fontsize=8, color="#666666")
    return plane


def _outline(axes: Axes, places: np.ndarray, radius: float, shade: str) -> None:
    """A pale hull around discs on the words of one group."""
    from matplotlib.patches import Polygon
    from scipy.spatial import ConvexHull

    turn = np.linspace(0, 2 * np.pi, 33)[:-1]
    disc = radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    rim = (places[:, None] + disc).reshape(-1, 2)
    axes.add_patch(Polygon(rim[ConvexHull(rim).vertices], facecolor=shade, edgecolor="none", alpha=0.15, zorder=1))


def _dress(axes: Axes, plane: Plane, projection: str, size: tuple[int, int, int]) -> None:
    words, vocabulary, dim = size
    shown = f"{words:,} of {vocabulary:,} words" if vocabulary else f"{words:,} words"
    if plane.explained is not None:
        fit = f"the plane shows {sum(plane.explained):.1%} of their variance"
        names = [f"{_NAMES[projection]} {i + 1} ({share:.1%} of variance)" for i, share in enumerate(plane.explained)]
    else:
        fit = f"distances agree with those in {dim} dimensions by Spearman's {plane.agreement:.2f}"
        names = [f"{_NAMES[projection]} {i} (arbitrary units)" for i in (1, 2)]
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.set_title(f"{shown}, {dim} dimensions, scaled to length 1\n{fit}", pad=16)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12 if words <= _FEW else 0.06)
