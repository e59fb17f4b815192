"""Perplexity and loss by position: the arithmetic; `test_language` has the commands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from w2v_jax.data.unigram import unigram
from w2v_jax.evaluation import language


def test_the_usual_figures_by_hand() -> None:
    scores = language.Scores(np.array([1.0, 2.0, 3.0, 2.0]), np.array([True, True, False, False]))
    found = language.summarise(scores, np.array([False, True, True, True]), words=2, size=10)
    assert found["nats_per_token"] == 2.0 and found["perplexity"] == pytest.approx(math.e**2)
    assert found["word_perplexity"] == pytest.approx(math.e**4)
    assert found["bits_per_byte"] == pytest.approx(8 / math.log(2) / 10)
    assert (found["unknown"], found["accuracy"]) == (0.25, 0.5) and found["known_accuracy"] == pytest.approx(1 / 3)
    nothing = language.summarise(scores, np.zeros(4, bool), words=2, size=10)
    assert nothing["known_accuracy"] is None and language.table({"test": nothing}).splitlines()[1].endswith(" -")


def test_the_table_marks_what_does_not_compare() -> None:
    scores = language.Scores(np.ones(4), np.ones(4, bool))
    known = np.array([False, True, True, True])
    marked = language.table({"test": language.summarise(scores, known, words=2, size=10)})
    row, note = marked.splitlines()[1:]
    assert (
        row.split()[2] == "25.0%"
        and [cell.endswith("*") for cell in row.split()] == [False] * 5 + [True] * 2 + [False] * 2
    )
    assert note.startswith("* not comparable with other vocabularies")
    plain = language.table({"test": language.summarise(scores, np.ones(4, bool), words=2, size=10)})
    assert "*" not in plain and "0.0%" in plain


def test_the_unigram_baseline_by_hand() -> None:
    """Counts 3, 1, 0 plus one each: probabilities 4/7, 2/7, 1/7."""
    nats, correct = unigram(np.array([3, 1, 0]), np.array([0, 2, 1]))
    np.testing.assert_allclose(nats, -np.log(np.array([4, 1, 2]) / 7))
    assert correct.tolist() == [True, False, False]


def test_places_start_again_with_every_document() -> None:
    places = language.document_places(np.array([0, 3, 4, 8]))
    assert places.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]


def test_bins_double_and_hold_every_token_once() -> None:
    rng = np.random.default_rng(0)
    places = rng.integers(0, 21, 500)
    nats = rng.random(500) + places
    bins = language.by_position(nats, places, 21)
    assert [(b["first"], b["last"]) for b in bins] == [(0, 0), (1, 2), (3, 6), (7, 14), (15, 20)]
    assert sum(b["tokens"] for b in bins) == 500
    inside = nats[(places >= 3) & (places <= 6)]
    assert bins[2]["nats"] == pytest.approx(inside.mean())
    assert bins[2]["error"] == pytest.approx(inside.std(ddof=1) / math.sqrt(len(inside)))


def test_lanes_are_put_back_in_the_order_of_the_text() -> None:
    """Two lanes of five targets, the last one padding; the score of a target is its own number."""
    targets = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, -1]])
    steps = [{"targets": targets[:, :3]}, {"targets": targets[:, 3:]}]
    seen: list[int] = []

    def score(carry: int, batch: Any) -> tuple[np.ndarray, np.ndarray, int]:
        seen.append(carry)
        return batch["targets"].astype(np.float32), batch["targets"] % 2 == 0, carry + 1

    nats, correct = language.score_stream(score, 7, steps)
    assert nats.tolist() == list(range(9)) and correct.tolist() == [True, False] * 4 + [True]
    assert seen == [7, 8], "the carry goes from step to step"


def test_the_table_marks_the_figures_of_a_tokeniser_from_outside() -> None:
    scores, known = language.Scores(np.ones(4), np.ones(4, bool)), np.ones(4, bool)
    result = language.summarise(scores, known, words=2, size=10, outside=True)
    row, note = language.table({"test": result}).splitlines()[1:]
    assert row.count("*") == 2 and note.startswith("* comparable with other vocabularies only where the own tokeniser")


def test_the_table_marks_what_is_left_out_and_says_what_its_words_are() -> None:
    scores, known = language.Scores(np.ones(4), np.ones(4, bool)), np.ones(4, bool)
    of_words = language.summarise(scores, known, words=3, size=10, ends=1, dropped=True)
    text = language.table({"heldout, blocks of 8": of_words, "heldout, by counts alone": of_words})
    _, row, _, star, words = text.splitlines()
    assert [cell[-1] for cell in row.split("  ") if cell.strip()][-4:] == ["*", "*", "%", "%"]
    assert star.endswith("is left out (data.unknown=drop)")
    assert words == "words, with the end of every document counted as one: 1 of 3 are ends"
    of_characters = language.summarise(scores, known, words=None, size=10, ends=1, dropped=True)
    assert of_characters["word_perplexity"] is None
    assert "- not known: nobody has counted the words" in language.table({"test": of_characters})
