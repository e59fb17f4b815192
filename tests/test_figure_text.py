"""Text in pictures: what matplotlib would take for something else, and letters that its font lacks."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from tests.pictures import count_pixels
from w2v_jax.figures import positions, style
from w2v_jax.figures.labels import place_labels
from w2v_jax.figures.style import drawing, escapes_note, plain

NAME = "Noto Sans CJK JP"


@pytest.fixture(autouse=True)
def no_other_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a system has of further fonts plays no part."""
    kept = [font for font in font_manager.fontManager.ttflist if font.name not in style._FALLBACKS]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", kept)
    style._glyphs.cache_clear()
    yield
    style._glyphs.cache_clear()


def install(letters: str, file: Path, name: str = NAME, weight: int = 400) -> None:
    """A font in which each of the letters is a square."""
    pen = TTGlyphPen(None)
    for draw, *points in ((pen.moveTo, (0, 0)), (pen.lineTo, (0, 800), (800, 800), (800, 0))):
        for point in points:
            draw(point)
    pen.closePath()
    square, names = pen.glyph(), [".notdef", "square"]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(c): "square" for c in letters})
    font.setupGlyf(dict.fromkeys(names, square))
    font.setupHorizontalMetrics(dict.fromkeys(names, (900, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": name, "styleName": "Regular" if weight == 400 else "ExtraLight"})
    font.setupOS2(usWeightClass=weight)
    font.setupPost()
    font.save(file)
    font_manager.fontManager.addfont(file)
    style._glyphs.cache_clear()


def test_text_that_can_be_drawn_stays_and_the_rest_is_spelt_out() -> None:
    assert plain("▁für ½ <0xC3> naïve") == "▁für ½ <0xC3> naïve"
    assert plain("日本 a") == r"\u65e5\u672c a" and plain("\U00020000") == r"\U00020000"
    assert plain("$x_1$") == r"\$x_1\$" and plain("_a") == " _a"


def test_another_weight_of_the_font_does_not_say_which_letters_can_be_drawn(tmp_path: Path) -> None:
    install("a", tmp_path / "light.ttf", style.FONT, 200)  # the last of its name in the list
    assert plain("naïve ½") == "naïve ½"


def test_a_picture_with_foreign_letters_has_no_empty_boxes(tmp_path: Path) -> None:
    bins = [{"first": 0, "last": 0, "nats": 2.0, "error": 0.1}, {"first": 1, "last": 2, "nats": 1.0, "error": 0.1}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a box
        shown = positions.draw({"日本語": bins}, tmp_path / "a.png", "source 文")
        with drawing(tmp_path / "b.png") as figure:
            assert place_labels(figure.subplots(), np.array([[0.5, 0.5]]), ["日本"], ["black"]) == 0
    assert list(shown) == [r"\u65e5\u672c\u8a9e"]


def test_letters_of_an_installed_font_are_drawn_and_the_rest_is_counted(tmp_path: Path) -> None:
    words = ["日本", "cat", "हिन्दी"]
    note = escapes_note(words)
    assert note.startswith("2 of 3 words") and f"install {NAME}" in note and "fontlist-" in note
    assert "install" not in escapes_note(words[1:]) and escapes_note(["cat", "naïve"]) == ""
    install("日本", tmp_path / "squares.ttf")
    assert plain("日本 ½") == "日本 ½" and escapes_note(words).startswith("1 of 3 words")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a box
        with drawing(tmp_path / "a.png") as figure:
            axes = figure.subplots()
            place_labels(axes, np.array([[0.5, 0.5]]), ["日本"], [style.colour(0)], 30.0)
            assert [text.get_text() for text in axes.texts] == ["日本"]
    assert count_pixels(tmp_path / "a.png", 0) > 3000  # two squares
