"""Matched topics by enumeration, the worked examples of counting by exact value, the drawn picture, words left out."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from experiments.topics import documents, explain, fits
from experiments.topics.__main__ import most_loaded
from w2v_jax.config import DataConfig
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.raw import MARK
from w2v_jax.errors import UserError
from w2v_jax.evaluation import matching
from w2v_jax.figures import topics as picture


def test_m1_counts_are_blind_to_meaning() -> None:
    book = explain.bags((explain.BOOK,), explain.ANIMALS)
    assert book.counts.tolist() == [[2, 1, 0, 0, 1]]
    films = explain.bags((explain.NOT_GOOD, explain.GOOD))
    assert films.words == ("this", "movie", "was", "not", "good", "terrible")
    assert explain.cosine(films.counts) == pytest.approx(5 / math.sqrt(30), abs=1e-7)


def test_m2_shares_lose_the_order() -> None:
    np.testing.assert_allclose(explain.shares(np.array(explain.SIZES)), [[10 / 11, 1 / 11], [200 / 201, 1 / 201]])
    assert explain.cosine(np.array(explain.SIZES)) == pytest.approx(0.99552, abs=5e-6)
    both = explain.shares(explain.bags(explain.CHASED).counts)
    np.testing.assert_allclose(both, [[0.4, 0.2, 0.2, 0.2]] * 2, rtol=1e-6)
    both = explain.shares(explain.bags(explain.CHASED, without=("the",)).counts)
    np.testing.assert_allclose(both, np.full((2, 3), 1 / 3), rtol=1e-6)


def test_m3_five_counts_become_two() -> None:
    counts = explain.bags((explain.BOOK,), explain.ANIMALS).counts[0]
    assert explain.latent(counts, 0.5).tolist() == [1.5, 2.5]
    for pet in np.linspace(0, 1, 11):  # whatever the split, nothing is lost: the notes' numbers have another sum
        assert explain.latent(counts, pet).sum() == pytest.approx(4.0) != sum(explain.CLAIMED)
    told = explain.text()
    for number in ("0.9129", "(0.909, 0.091)", "0.99552", "(0.333, 0.333, 0.333)", "(1.5, 2.5)", "add up to 3.4"):
        assert number in told


def test_the_best_matching_is_that_of_all_permutations() -> None:
    drawn = np.random.default_rng(0)
    first, second = drawn.normal(size=(50, 4)), drawn.normal(size=(50, 4))
    second[:, 2] = -first[:, 1]
    found = matching.by_documents(first, second)
    scores = np.abs(np.corrcoef(first.T, second.T)[:4, 4:])
    best = max(itertools.permutations(range(4)), key=lambda order: scores[range(4), order].sum())
    assert dict(zip(found.first.tolist(), found.second.tolist(), strict=True)) == dict(enumerate(best))
    assert (found.first[0], found.second[0]) == (1, 2) and found.scores[0] == pytest.approx(1.0)
    assert found.mean == pytest.approx(scores[range(4), best].mean()) and found.random == pytest.approx(scores.mean())
    assert found.share == pytest.approx((found.mean - found.chance) / (1 - found.chance))
    assert (np.diff(found.scores) <= 0).all()


def test_the_sign_of_a_component_decides_nothing() -> None:
    drawn = np.random.default_rng(0)
    components, signs = drawn.normal(size=(6, 30)), np.array([1, -1, -1, 1, -1, 1])
    found = fits.sides(components)
    turned = fits.sides(components * signs[:, None])
    np.testing.assert_array_equal(turned[0], found[0])
    np.testing.assert_array_equal(turned[2], found[2] * signs)
    np.testing.assert_array_equal(found[1], -found[0])
    one = np.array(
        [[0.6, -0.5, -0.5, 0.0]]
    )  # two words of the other side weigh more than the one of the largest weight
    assert fits.sides(one)[2].tolist() == [-1] and fits.sides(-one)[2].tolist() == [1]


def test_documents_of_both_sides_are_shown() -> None:
    loadings = np.array([0.1, -0.5, 0.9, 0.0, 0.3, -0.2])
    assert most_loaded(loadings, 1) == [2, 4, 0]
    assert most_loaded(loadings, 2) == [2, 4, 0, 5, 1]
    assert most_loaded(np.abs(loadings), 2) == [2, 1, 4], "a component with one sign has no documents of the other"


def test_a_blank_document_is_known_wherever_a_chunk_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [f"one{MARK} {MARK}thr", f"ee{MARK}\n\n", f" {MARK}five"]

    class Text:
        @staticmethod
        def chunks(content: object) -> list[tuple[str, int]]:
            return [(chunk, 0) for chunk in chunks]

    monkeypatch.setattr(documents, "raw_text", lambda data: Text)
    assert [documents.is_blank(DataConfig(), i) for i in range(1, 6)] == [False, True, False, True, False]


def test_overlap_takes_the_better_reading_and_chance_deals_the_words_anew() -> None:
    topics = np.arange(40).reshape(4, 10)
    other = topics[[2, 0, 3, 1]].copy()
    other[0, :5] = range(50, 55)
    same = matching.by_words([topics], [other])
    assert same.scores.tolist() == [1.0, 1.0, 1.0, 0.5] and same.second[same.first.tolist().index(2)] == 0
    turned = matching.by_words([topics[:, ::-1] + 100, topics], [other])
    assert turned.scores.tolist() == same.scores.tolist()
    assert 0.2 < same.chance < 0.5 < same.mean, (
        "of 10 words dealt over 4 topics about a third meet in the best matching"
    )
    constant = matching.by_documents(np.ones((9, 2)), np.random.default_rng(1).normal(size=(9, 3)))
    assert constant.scores.tolist() == [0.0, 0.0] and len(constant.first) == 2


def test_the_most_frequent_words_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("the the the a a cat\nthe a dog cat\nthe a\n")
    plain = DataConfig(source=f"text:{path}", min_count=1, heldout_every=0)
    corpus = build_corpus(DataConfig(source=f"text:{path}", min_count=1, heldout_every=0, skip_top=2))
    assert corpus.vocab.words == ("cat", "dog")
    assert build_corpus(plain).vocab.words == ("the", "a", "cat", "dog")
    assert corpus.report["lost_documents"] == 1 and corpus.train.documents == 2
    with pytest.raises(UserError, match="data.skip_top=-1: must be 0 or more"):
        DataConfig(skip_top=-1)
    with pytest.raises(UserError, match="data.skip_top=4: leaves no word, the text has 4; lower it"):
        build_corpus(DataConfig(plain.source, min_count=1, heldout_every=0, skip_top=4))


def test_the_picture_shows_each_pair(tmp_path: Path) -> None:
    pairs = [
        {"first": ["cat", "$x$"], "second": ["dog"] * 30, "words": 0.5, "documents": 0.7},
        {"first": ["sun"], "second": ["moon"], "words": 0.0, "documents": 0.1},
    ]
    shown = picture.draw(pairs, ("LSA", "LDA"), {"words": 0.1, "documents": 0.02}, tmp_path / "a.png", "command")
    assert shown.tolist() == [[0.5, 0.7], [0.0, 0.1]] and (tmp_path / "a.png").stat().st_size > 5000


def test_advice_for_more_held_out_documents_does_not_meet_a_refusal() -> None:
    said = fits.heldout_told({"of": 9, "documents": 4, "words": 50})
    assert said.endswith("50 known words; --lda.model.heldout_documents=0 with another --workdir takes all")
