"""The linear classifier of fixed features, and F1, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from w2v_jax.evaluation import linear
from w2v_jax.evaluation.classification import classification, interval, macro_f1, majority, paired, per_class
from w2v_jax.evaluation.softmax import loss, probabilities, solve


def test_the_classifier_is_that_of_scikit_learn() -> None:
    """In the unit of the features as they are; C is chosen by held-out accuracy, the smallest of equals."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(5)
    labels = np.array([0, 1, 3])[rng.integers(0, 3, 240)]
    dense = rng.poisson(0.4 + 1.5 * (labels[:, None] == np.arange(12) % 4)).astype(np.float32)
    rows, held = sp.csr_matrix(7.0 * dense), np.arange(240) % 6 == 0
    found = linear.fit(rows[:200], labels[:200], 4, rows[200:], held[:200], strengths=(0.1, 1.0, 10.0))
    assert found.converged and found.strength == min(found.heldout, key=lambda c: (-found.heldout[c], c))
    peer = LogisticRegression(C=found.strength / found.scale**2, tol=1e-8, max_iter=5000)
    wanted = peer.fit(rows[:200].toarray(), labels[:200]).predict_proba(rows[200:].toarray())
    np.testing.assert_allclose(found.probabilities[:, [0, 1, 3]], wanted, atol=2e-3)
    assert not found.probabilities[:, 2].any(), "a label without a text"
    ones = linear.fit(rows[:200] / 7.0, labels[:200], 4, rows[200:] / 7.0, held[:200], strengths=(0.1, 1.0, 10.0))
    np.testing.assert_allclose(ones.probabilities, found.probabilities, atol=1e-4)


@pytest.mark.parametrize("refit", [False, True])
def test_held_out_texts_choose_the_strength_and_end_the_search(refit: bool) -> None:
    """Labels are noise but for one feature: held-out accuracy falls with C, and C rises no further after PATIENCE."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    labels, held = rng.integers(0, 2, 120), np.arange(120) % 3 == 0
    rows = rng.normal(0.0, 1.0, (150, 60))
    rows[:120, 0] += 2.0 * labels
    found = linear.fit(rows[:120], labels, 2, rows[120:], held, refit)
    place = list(found.heldout).index(found.strength)
    assert len(found.heldout) == place + 1 + linear.PATIENCE < len(linear.STRENGTHS)
    train, test, scale = linear.scaled(rows[:120], rows[120:], np.ones(120, bool) if refit else ~held)
    for strength, accuracy in found.heldout.items():
        peer = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(train[~held], labels[~held])
        assert accuracy == pytest.approx(peer.score(train[held], labels[held]), abs=0.026)  # one text may differ
    known = np.ones(120, bool) if refit else ~held
    peer = LogisticRegression(C=found.strength, tol=1e-8, max_iter=5000).fit(train[known], labels[known])
    np.testing.assert_allclose(found.probabilities, peer.predict_proba(test), atol=1e-4)
    assert scale == found.scale


def test_where_no_strength_beats_the_most_frequent_label_the_held_out_loss_chooses() -> None:
    """One text of twelve has the rare label: with any small C all texts get the other one, and accuracies are equal."""
    rng = np.random.default_rng(11)
    labels, held = (np.arange(240) % 12 == 0).astype(int), np.arange(240) % 5 == 1
    rows = rng.normal(0.0, 1.0, (240, 30))
    rows[:, 0] += 0.7 * labels
    found = linear.fit(rows, labels, 2, rows, held)
    plain = majority(labels[~held], labels[held])
    assert max(found.heldout.values()) == plain, "no C is better"
    losses = {}
    for strength in (c for c, accuracy in found.heldout.items() if accuracy == plain):
        train, _, _ = linear.scaled(rows, rows, np.ones(240, bool))
        model = solve(train[~held], labels[~held], strength, None, 1e-6, 100)
        chances = probabilities(model, train[held])
        losses[strength] = classification(chances, labels[held]).loss
        assert loss(model, train[held], labels[held]) == pytest.approx(losses[strength])
    assert found.strength == min(losses, key=lambda c: losses[c]) > linear.STRENGTHS[0]


def test_intervals_and_paired_tests_are_those_of_scipy() -> None:
    from scipy.stats import binomtest

    for right, texts in ((0, 2), (7, 9), (40, 40)):
        wanted = binomtest(right, texts).proportion_ci(method="wilson")
        assert interval(right / texts, texts) == pytest.approx(tuple(wanted), abs=1e-6)
    first, second = np.arange(20) < 15, np.arange(20) >= 12
    assert paired(first, second) == (12, 5, pytest.approx(binomtest(5, 17).pvalue))
    assert paired(first, first) == (0, 0, 1.0)


def test_dense_features_are_standardised_by_the_fitted_rows() -> None:
    rng = np.random.default_rng(6)
    rows, fitted = rng.normal(3.0, [1.0, 50.0, 0.0], (40, 3)), np.arange(40) < 30
    train, test, scale = linear.scaled(rows, rows[:5], fitted)
    want = (rows - rows[fitted].mean(0)) / np.where(rows[fitted].std(0) > 1e-9, rows[fitted].std(0), 1.0) / np.sqrt(3)
    np.testing.assert_allclose(train, want, atol=1e-6)
    assert scale == np.sqrt(3) and (test == train[:5]).all() and not train[:, 2].any()


def test_macro_f1_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    rng = np.random.default_rng(7)
    chances, labels = rng.random((50, 4)), rng.integers(0, 3, 50)
    chances[:, 3] = 0.0
    confusion = classification(chances, labels).confusion
    ours = per_class(confusion)
    assert np.isnan(ours[3]).all(), "neither a text nor a prediction"
    theirs = precision_recall_fscore_support(labels, chances.argmax(1))[:3]
    np.testing.assert_allclose(ours[:3], np.transpose(theirs), atol=1e-12)
    found = macro_f1(confusion)
    assert found == pytest.approx(f1_score(labels, chances.argmax(1), average="macro"), abs=1e-12)
