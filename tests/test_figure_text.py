"""Text in pictures: what matplotlib would take for something else, and letters that its font lacks."""

import warnings
from pathlib import Path

import numpy as np

from w2v_jax.figures import positions
from w2v_jax.figures.labels import place_labels
from w2v_jax.figures.style import drawing, plain


def test_text_that_can_be_drawn_stays_and_the_rest_is_spelt_out() -> None:
    assert plain("▁für ½ <0xC3> naïve") == "▁für ½ <0xC3> naïve"
    assert plain("日本 a") == r"\u65e5\u672c a" and plain("\U00020000") == r"\U00020000"
    assert plain("$x_1$") == r"\$x_1\$" and plain("_a") == " _a"


def test_a_picture_with_foreign_letters_has_no_empty_boxes(tmp_path: Path) -> None:
    bins = [{"first": 0, "last": 0, "nats": 2.0, "error": 0.1}, {"first": 1, "last": 2, "nats": 1.0, "error": 0.1}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a box
        shown = positions.draw({"日本語": bins}, tmp_path / "a.png", "source 文")
        with drawing(tmp_path / "b.png") as figure:
            assert place_labels(figure.subplots(), np.array([[0.5, 0.5]]), ["日本"], ["black"]) == 0
    assert list(shown) == [r"\u65e5\u672c\u8a9e"]
