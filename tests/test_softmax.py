"""Multinomial logistic regression against scikit-learn's Newton method and the gradient written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from w2v_jax.evaluation.softmax import Solution, predicted, probabilities, solve


def rows(labels: np.ndarray) -> np.ndarray:
    """Counts of 40 words, some of which speak of a label, in units from .01 to 100."""
    rng = np.random.default_rng(4)
    told = (labels[:, None] == np.arange(40) % 5) * rng.random(40)
    return rng.poisson(0.3 + 2.0 * told) * np.exp(rng.normal(0.0, 2.0, 40))


@pytest.mark.parametrize("kinds", [(3, 7), (0, 1, 2, 4)])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_optimum_is_that_of_scikit_learn(kinds: tuple[int, ...], sparse: bool) -> None:
    place = np.random.default_rng(2).integers(0, len(kinds), 300)
    labels, dense = np.array(kinds)[place], rows(place)
    features = sp.csr_matrix(dense) if sparse else dense
    before: Solution | None = None
    for strength in (0.01, 1.0, 100.0):
        cold = solve(features, labels, strength, None, 1e-9, 100)
        before = warm = solve(features, labels, strength, before, 1e-9, 100)
        peer = LogisticRegression(C=strength, solver="newton-cg", tol=1e-10, max_iter=1000).fit(dense, labels)
        for found in (cold, warm):
            assert found.converged and 0 < found.steps < 60 and tuple(found.classes) == kinds
            np.testing.assert_allclose(probabilities(found, features), peer.predict_proba(dense), atol=1e-7)
            np.testing.assert_array_equal(predicted(found, features), peer.predict(dense))
            assert abs(found.weights[-1].sum()) < 1e-9
        # The gradient of f, by its formula.
        weights, chances = cold.weights[:-1], probabilities(cold, features)
        scale = (2.0 if len(kinds) == 2 else 1.0) / strength
        slope = dense.T @ (chances - np.eye(len(kinds))[place]) + scale * weights
        assert np.abs(slope).max() / 300 < 2e-9


def test_too_few_steps_are_said() -> None:
    labels = np.arange(60) % 3
    found = solve(rows(labels), labels, 100.0, None, 1e-9, 2)
    assert not found.converged and found.steps == 2
    again = solve(rows(labels), labels, 100.0, solve(rows(labels), labels, 100.0, None, 1e-9, 100), 1e-8, 2)
    assert again.converged and again.steps == 0
