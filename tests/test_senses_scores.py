"""Classifiers, scores, folds and changes of vectors of senses, against scikit-learn and by trying all."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import accuracy_score, f1_score, recall_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier

from w2v_jax.evaluation import sense_labels as by_labels
from w2v_jax.evaluation import senses

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 90)
ROWS = senses.unit(RNG.normal(size=(90, 5)) + 2.0 * np.eye(3, 5)[LABELS])
KNOWN, ASKED = slice(0, 60), slice(60, 90)


def test_classifiers_are_those_of_scikit_learn() -> None:
    known, labels, asked = ROWS[KNOWN], LABELS[KNOWN], ROWS[ASKED]
    nearest = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(known, labels)
    np.testing.assert_array_equal(by_labels.nearest(known, labels, asked), nearest.predict(asked))
    means = np.stack([known[labels == k].mean(0) for k in range(3)])
    wanted = [max(range(3), key=lambda k, x=x: x @ means[k] / np.linalg.norm(means[k])) for x in asked]  # type: ignore[misc]
    np.testing.assert_array_equal(by_labels.centroid(known, labels, asked), wanted)
    assert set(by_labels.most_frequent(np.array([2, 1, 1, 2, 0]), 4).tolist()) == {1}


@pytest.mark.parametrize("prior", [True, False])
def test_naive_bayes_is_that_of_scikit_learn(prior: bool) -> None:
    texts = [[f"w{i}" for i in RNG.integers(0, 120, 8) + 12 * label] for label in LABELS]
    counts = by_labels.bags(texts)
    assert counts.shape == (90, len({w for t in texts for w in t})) and counts.sum() == 90 * 8
    assert counts[0].toarray()[0, 0] == texts[0].count(texts[0][0])
    known, asked = counts[KNOWN], counts[ASKED]
    seen = np.asarray(known.sum(0)).ravel() > 0
    model = MultinomialNB(alpha=0.1, fit_prior=prior).fit(known[:, seen], LABELS[KNOWN])
    found = by_labels.naive_bayes(known, LABELS[KNOWN], asked, prior)
    np.testing.assert_array_equal(found, model.predict(asked[:, seen]))
    assert not seen.all() and len(set(found.tolist())) == 3
    one = by_labels.naive_bayes(sp.csr_matrix([[1.0, 0.0]]), np.array([7]), sp.csr_matrix([[0.0, 1.0]]))
    assert one.tolist() == [7]


def test_scores_are_those_of_scikit_learn() -> None:
    truth, found = LABELS[ASKED], np.where(RNG.random(30) < 0.6, LABELS[ASKED], 0)
    one = by_labels.scores(found, truth, 4)  # the fourth sense never occurs
    assert one.right / one.texts == accuracy_score(truth, found)
    assert one.recall == pytest.approx(recall_score(truth, found, average="macro"))
    assert one.f1 == pytest.approx(f1_score(truth, found, average="macro"))
    np.testing.assert_allclose(one.senses[:3], recall_score(truth, found, average=None))
    assert np.isnan(one.senses[3])
    other = by_labels.scores(np.zeros(10, int), np.zeros(10, int), 2)
    both = by_labels.mean([one, other])
    assert both.micro == (one.right + 10) / 40 and both.words == pytest.approx((one.right / 30 + 1) / 2)
    assert both.recall == pytest.approx((one.recall + 1) / 2)


def test_folds_and_shots_take_every_label() -> None:
    folds = by_labels.folds(LABELS, 5, 0)
    for label in range(3):
        sizes = np.bincount(folds[label == LABELS], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert (folds == by_labels.folds(LABELS, 5, 0)).all() and (folds != by_labels.folds(LABELS, 5, 1)).any()
    labels = np.array([0] * 9 + [1] * 2)
    drawn = by_labels.shots(labels, 3, np.random.default_rng(0))
    assert np.bincount(labels[drawn]).tolist() == [3, 2] and len(set(drawn.tolist())) == 5
    half = by_labels.shots(labels, 5, np.random.default_rng(0), share=0.5)
    assert np.bincount(labels[half]).tolist() == [4, 1]


def test_the_best_threshold_is_that_of_trying_all() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        same = rng.random(12) < 0.5
        values = np.round(rng.normal(size=12) + 0.5 * same, 1)  # some are equal
        threshold, accuracy = senses.best_threshold(values, same)
        tried = [float(((values >= t) == same).mean()) for t in [-np.inf, *(values + 1e-9), *(values - 1e-9)]]
        assert accuracy == max(tried) == ((values >= threshold) == same).mean()
    assert senses.best_threshold(np.array([0.1, 0.2]), np.array([True, True])) == (-np.inf, 1.0)
    assert senses.best_threshold(np.array([0.1, 0.3]), np.array([False, True])) == (0.2, 1.0)


@pytest.mark.parametrize("way", senses.WAYS)
def test_vectors_of_words_that_were_not_read_stay_zero_and_do_not_count(way: str) -> None:
    rows = RNG.normal(size=(40, 4)) + 3.0
    with_unread = np.concatenate([rows, np.zeros((5, 4))])
    found = senses.change(with_unread, way)(with_unread)
    assert not found[40:].any() and senses.cosines(found[40:41], found[41:42]) == [0.0]
    np.testing.assert_array_equal(found[:40], senses.change(rows, way)(rows))
    assert not senses.change(np.zeros((3, 4)), way)(np.zeros((3, 4))).any()


def test_changes_take_off_what_all_share() -> None:
    rows = RNG.normal(size=(400, 4)) * [5.0, 1.0, 1.0, 0.1] + 3.0
    np.testing.assert_allclose(senses.change(rows, "as is")(rows), senses.unit(rows), rtol=1e-5)
    centred = senses.change(rows, "centred")(rows[:7])
    moved = rows[:7] - rows.mean(0)
    np.testing.assert_allclose(centred, moved / np.linalg.norm(moved, axis=1, keepdims=True), rtol=1e-5)
    white = senses.change(rows, "whitened")
    assert white.matrix is not None
    spread = np.cov(((rows - white.mean) @ white.matrix).T, bias=True)
    values = np.sort(np.linalg.eigvalsh(np.cov(rows.T, bias=True)))
    np.testing.assert_allclose(np.diag(spread), np.sort(values / (values + 0.1 * values.mean())), rtol=1e-6)
    np.testing.assert_allclose(spread - np.diag(np.diag(spread)), 0.0, atol=1e-9)
    assert np.isfinite(senses.change(np.ones((3, 2)), "whitened")(np.ones((3, 2)))).all()
    np.testing.assert_allclose(
        senses.cosines(rows[:3], rows[3:6]), np.diag(senses.unit(rows[:3]) @ senses.unit(rows[3:6]).T), rtol=1e-5
    )
