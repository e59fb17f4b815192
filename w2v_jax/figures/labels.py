"""Puts labels beside points so that none covers another label or another point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2v_jax.figures.style import Axes, drawable, plain

# Directions tried around a point, the most readable first: right, left, above, below, then between them.
_DIRECTIONS = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)], float)
_LEADER = 1.8  # first distances from its point beyond which a label gets a line to it


def place_boxes(
    points: np.ndarray, sizes: np.ndarray, bounds: np.ndarray, distance: float, rings: int = 4, radius: float = 0.0
) -> np.ndarray:
    """Centres of label boxes, earlier points first; NaN where no free place was found.

    A box is tried in eight directions at growing distances. It must lie within `bounds` and must not overlap an
    earlier box, or the square around any point. All lengths are in pixels.

    Args:
      points, sizes: [n, 2], points, and width and height of their labels.
      bounds: [2, 2], the lowest and highest corner.
      distance: between a point and the nearest side of its box in the first of `rings`.
      radius: half the side of the square around a point.

    Returns:
      float64 [n, 2].
    """
    centres = np.full((len(points), 2), np.nan)
    taken = np.concatenate([points - radius, points + radius], axis=1)  # boxes as low x, low y, high x, high y
    for i, (point, size) in enumerate(zip(points, sizes, strict=True)):
        for ring in range(rings):
            gap = distance * (1 + 1.5 * ring)
            tries = point + _DIRECTIONS * (size / 2 + gap)
            boxes = np.concatenate([tries - size / 2, tries + size / 2], axis=1)
            inside = np.all(boxes[:, :2] >= bounds[0], axis=1) & np.all(boxes[:, 2:] <= bounds[1], axis=1)
            over = np.all((boxes[:, None, :2] < taken[:, 2:]) & (boxes[:, None, 2:] > taken[:, :2]), axis=-1)
            free = np.flatnonzero(inside & ~over.any(axis=1))
            if len(free):
                centres[i] = tries[free[0]]
                taken = np.concatenate([taken, boxes[free[:1]]])
                break
    return centres


def place_labels(
    axes: Axes,
    points: np.ndarray,
    labels: Sequence[str],
    colours: Sequence[str],
    fontsize: float = 9.0,
    rings: int = 4,
    radius: float = 4.0,
) -> int:
    """Writes labels beside `points` [n, 2], earlier ones first, with a thin line to points that are far from it.

    Call it last: the limits of the axes and the layout must not change afterwards. `rings` is as in `place_boxes`,
    `radius` that of the points' own marks in 1/72 inch. Returns how many labels found no place and were left out.
    """
    figure = axes.get_figure()
    assert figure is not None
    figure.draw_without_rendering()  # settles the layout
    figure.set_layout_engine("none")
    renderer = figure.canvas.get_renderer()
    pixel = figure.dpi / 72
    texts = [
        axes.text(0, 0, text, color=c, fontsize=fontsize, ha="center", va="center", parse_math=False, zorder=7)
        for text, c in zip(map(drawable, labels), colours, strict=True)
    ]
    extents = [text.get_window_extent(renderer) for text in texts]
    sizes = np.array([(box.width, box.height) for box in extents]).reshape(-1, 2) + pixel
    where = axes.transData.transform(np.asarray(points, float).reshape(-1, 2))
    bounds = axes.get_window_extent(renderer).get_points()
    distance = (radius + 1.5) * pixel
    to_data = axes.transData.inverted()
    centres = place_boxes(where, sizes, bounds, distance, rings, radius * pixel)
    for text, point, centre, size in zip(texts, where, centres, sizes, strict=True):
        if np.isnan(centre).any():
            text.remove()
            continue
        text.set_position(to_data.transform(centre))
        nearest = np.clip(point, centre - size / 2, centre + size / 2)
        if np.linalg.norm(nearest - point) > _LEADER * distance:
            line = to_data.transform(np.stack([point, nearest]))
            axes.plot(*line.T, color="#AAAAAA", linewidth=0.6, zorder=2)
    return int(np.isnan(centres).any(axis=1).sum())


def joined(words: Sequence[str], most: int = 3) -> str:
    """The first words of a group, for a legend."""
    return plain(", ".join(words[:most]) + (", …" if len(words) > most else ""))
