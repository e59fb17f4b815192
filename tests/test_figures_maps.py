"""Style, labels and maps of pictures: what is drawn is compared with formulas and with counts made another way."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.pictures import count_pixels
from w2v_jax.errors import UserError
from w2v_jax.figures import labels, maps, style

pytestmark = pytest.mark.xdist_group("figures")  # as test_figures.py


# ---- style ----


def test_a_drawing_that_fails_leaves_the_old_picture(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    out.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), style.drawing(out) as figure:
        figure.add_subplot().plot([1, 2])
        _ = 1 / 0
    assert out.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_drawing_is_the_same_file_twice_and_makes_its_folder(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a.svg", "b.svg"):
        with style.drawing(tmp_path / "new" / name, (3, 2), "small print with a $ sign and _") as figure:
            figure.add_subplot().plot([1, 2], label=style.plain("_$x$"))
    assert imread(tmp_path / "new" / "a.png").shape == (2 * style.DPI, 3 * style.DPI, 4)
    for ending in ("png", "svg"):
        assert (tmp_path / "new" / f"a.{ending}").read_bytes() == (tmp_path / "new" / f"b.{ending}").read_bytes()


def test_pictures_have_known_endings(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.png"), style.drawing(tmp_path / "a.gif"):
        pass
    assert not os.listdir(tmp_path)


def test_colours_and_markers_make_64_different_pairs() -> None:
    assert len({(style.colour(i), style.marker(i)) for i in range(64)}) == 64


# ---- labels ----


def test_boxes_overlap_no_box_and_no_point() -> None:
    rng = np.random.default_rng(0)
    points = rng.integers(20, 380, (80, 2)).astype(float)
    sizes = np.stack([rng.integers(10, 30, 80) * 2, np.full(80, 12)], axis=1).astype(float)
    bounds = np.array([[0.0, 0.0], [400.0, 400.0]])
    centres = labels.place_boxes(points, sizes, bounds, distance=5.0, radius=3.0)
    placed = np.flatnonzero(~np.isnan(centres).any(axis=1))
    assert 40 <= len(placed) < 80  # crowded on purpose
    # Painted at quarter pixels, no cell may be covered twice.
    canvas = np.zeros((1600, 1600), int)
    for i in placed:
        low, high = ((centres[i] + sign * sizes[i] / 2) * 4 for sign in (-1, 1))
        assert (low >= 0).all() and (high <= 1600).all()
        canvas[math.floor(low[0]) : math.ceil(high[0]), math.floor(low[1]) : math.ceil(high[1])] += 1
    assert canvas.max() == 1
    marks = np.zeros_like(canvas)
    for x, y in (points * 4).astype(int):
        marks[x - 12 : x + 12, y - 12 : y + 12] = 1
    assert not (canvas * marks).any()


def test_a_lone_label_stands_to_the_right_and_turns_at_the_edge() -> None:
    size, bounds = np.array([[20.0, 10.0]]), np.array([[0.0, 0.0], [100.0, 100.0]])
    assert labels.place_boxes(np.array([[50.0, 50.0]]), size, bounds, 5.0).tolist() == [[65.0, 50.0]]
    assert labels.place_boxes(np.array([[95.0, 50.0]]), size, bounds, 5.0).tolist() == [[80.0, 50.0]]
    assert np.isnan(labels.place_boxes(np.array([[5.0, 50.0]]), size * 6, bounds, 5.0)).all()


# ---- maps ----


def test_pca_keeps_the_variance_that_singular_values_say() -> None:
    vectors = np.random.default_rng(1).normal(size=(30, 7)).astype(np.float32)
    plane = maps.project(vectors)
    rows = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    _, s, _ = np.linalg.svd(rows - rows.mean(axis=0))
    assert plane.explained is not None
    np.testing.assert_allclose(plane.explained, s[:2] ** 2 / (s**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(plane.points, axis=0), s[:2], rtol=1e-6)


@pytest.mark.parametrize("projection", maps.PROJECTIONS)
def test_projections_repeat_and_keep_three_groups_apart(projection: str) -> None:
    rng = np.random.default_rng(2)
    vectors = np.repeat(np.eye(3, 10) * 5, 8, axis=0) + rng.normal(size=(24, 10)) * 0.2
    plane, again = (maps.project(vectors, projection, seed=3) for _ in range(2))
    assert np.array_equal(plane.points, again.points)
    assert (plane.explained is not None) == (projection == "pca")
    blocks = plane.points.reshape(3, 8, 2)
    centres = blocks.mean(axis=1)
    inside = np.linalg.norm(blocks - centres[:, None], axis=-1).max()
    between = min(np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert between > 2 * inside
    assert plane.agreement > 0.6


def test_a_flat_cloud_is_shown_as_it_is() -> None:
    rng = np.random.default_rng(0)
    turn = rng.uniform(0, 5, 12)
    flat = np.stack([np.cos(turn), np.sin(turn)], axis=1) @ np.linalg.qr(rng.normal(size=(6, 2)))[0].T
    plane = maps.project(flat * np.arange(1, 13)[:, None])  # lengths play no part
    assert plane.agreement == pytest.approx(1.0)
    assert plane.explained is not None and sum(plane.explained) == pytest.approx(1.0)


def test_clusters_are_found_and_named_by_central_words() -> None:
    directions = np.array([[1, 0, 0], [0.9, 0.1, 0], [1, 0.2, 0], [0, 1, 0], [0, 1, 0.1], [0, 0.9, -0.1]])
    words = ["a", "b", "c", "x", "y", "z"]
    found = maps.cluster(words, directions, count=2)
    assert list(found.values()) == [["a", "b", "c"], ["x", "y", "z"]]
    assert all(name.startswith(first) for name, first in zip(found, ("b", "x"), strict=True))
    assert len(maps.cluster(words, np.ones((6, 3)), count=3)) == 1  # no more clusters than different vectors
    with pytest.raises(UserError, match="--clusters=7"):
        maps.cluster(words, directions, count=7)


def test_a_map_shows_difficult_words(tmp_path: Path) -> None:
    words = ["$x_1$", "_y", "^", "naïve", "a\\b", "cat"]
    vectors = np.random.default_rng(4).normal(size=(6, 5))
    groups = {"_g$": words[:3], "one": words[3:4]}
    plane = maps.draw_map(words, vectors, tmp_path / "m.png", groups, vocabulary=60, source="data $ seed")
    assert plane.points.shape == (6, 2)
    assert count_pixels(tmp_path / "m.png", 0) > 50 and count_pixels(tmp_path / "m.png", 1) > 50
    assert count_pixels(tmp_path / "m.png", 2) == 0  # there are two groups


def test_maps_that_cannot_be_drawn(tmp_path: Path) -> None:
    vectors, out = np.random.default_rng(5).normal(size=(4, 3)), tmp_path / "m.png"
    with pytest.raises(UserError, match="needs 3 words"):
        maps.draw_map(["a", "b"], vectors[:2], out)
    with pytest.raises(UserError, match="2 dimensions"):
        maps.draw_map(list("abcd"), vectors[:, :1], out)
    with pytest.raises(UserError, match="NaN"):
        maps.draw_map(list("abcd"), np.where(vectors > 0, vectors, np.nan), out)
    with pytest.raises(UserError, match="same vector"):
        maps.draw_map(list("abcd"), np.ones((4, 3)), out)
    with pytest.raises(UserError, match="'e' is not among"):
        maps.draw_map(list("abcd"), vectors, out, {"g": ["a", "e"]})
    with pytest.raises(UserError, match="did you mean 'tsne'"):
        maps.draw_map(list("abcd"), vectors, out, projection="tsn")
    assert not os.listdir(tmp_path)
