"""Multinomial logistic regression from features of texts to labels, with its strength chosen on held-out texts.

  p(y | x) = softmax(W x + b),    W, b = argmin  |W|^2 / 2 + C sum over texts of -log p(y_n | x_n)

Features are put on one scale first, so that one list of C serves all. Dense ones are standardised (each has mean 0 and
variance 1 over the fitted texts) and divided by the root of their number. Sparse ones are divided by one number, the
root mean square length of the fitted rows, which only changes the unit of C, and stay sparse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.evaluation.classification import majority
from w2v_jax.evaluation.linear_model import Classifier, scale_of
from w2v_jax.evaluation.softmax import Solution, loss, predicted, solve

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5)  # C, for rows of length 1
PATIENCE = 3  # values of C in a row that are no better than the best before them; further ones are left out
STEPS = 100  # of Newton's method at most, for each C
TOLERANCE = 1e-6  # largest entry of the gradient of the mean over texts; at 1e-5 a start for a high C seems solved

Rows = Any
"""Features of N texts, [N, F]: an array, or a scipy csr matrix."""


class Fitted(NamedTuple):
    """A classifier of K labels, chosen and fitted."""

    strength: float  # C, in the unit of STRENGTHS
    heldout: dict[float, float]  # accuracy on held-out texts of each C that was tried
    scale: float  # that the features were divided by, after standardising; C / scale**2 is for features as they are
    steps: int  # of Newton's method in the last fit
    converged: bool  # whether these were enough
    probabilities: np.ndarray  # float64 [N, K] of the texts to classify; 0 for a label without a fitted text
    model: Classifier  # for further texts


def fit(
    train: Rows,
    labels: np.ndarray,
    classes: int,
    test: Rows,
    held: np.ndarray,
    refit: bool = True,
    strengths: Sequence[float] = STRENGTHS,
    say: Callable[[str], None] = lambda line: None,
) -> Fitted:
    """Chooses C by the accuracy on the texts `held`, fits once more and classifies `test`. Deterministic.

    Args:
      train: [N, F]; labels: int [N], 0 to K - 1 = `classes` - 1.
      test: [M, F].
      held: bool [N], the texts that choose C; of equal values the smallest is taken. Where no C is better on them than
        always the most frequent label, their mean log p(label) chooses among equal values.
      refit: whether the last fit takes the texts `held` too.
      strengths: values of C, rising. The solution for one is the start for the next.
      say: takes a line for each C.

    Raises:
      UserError: fewer than two labels to fit, or nothing held out.
      ValueError: shapes that do not fit.
    """
    if train.shape[0] != len(labels) or held.shape != labels.shape or train.shape[1] != test.shape[1]:
        raise ValueError(f"features {train.shape} and {test.shape} do not fit {labels.shape} labels, {held.shape}")
    if len(np.unique(labels[~held])) < 2 or not held.any():
        raise UserError(f"{len(labels)} training texts leave fewer than two labels to fit, or none to hold out")
    scale = scale_of(train, np.ones_like(held) if refit else ~held)
    train = scale.applied(train)
    best, last, found = _chosen(train, labels, held, strengths, say)
    # Where the texts held out have a label that the others lack, the solution has too few rows to start from.
    if refit:
        whole = len(last.classes) == len(np.unique(labels))
        last = _solved(train, labels, best, last if whole else None)
    made = Classifier(scale, last)
    chances = made.probabilities(test, classes)
    return Fitted(best, found, scale.divisor, last.steps, last.converged, chances, made)


def _chosen(
    train: Rows, labels: np.ndarray, held: np.ndarray, strengths: Sequence[float], say: Callable[[str], None]
) -> tuple[float, Solution, dict[float, float]]:
    """(the best of `strengths` by the texts `held`, its solution for the other texts, accuracies of those that were
    tried), as `fit` states."""
    found: dict[float, float] = {}
    losses: dict[float, float] = {}
    models: dict[float, Solution] = {}
    known, model = train[~held], None
    plain = majority(labels[~held], labels[held])
    for strength in strengths:
        models[strength] = model = _solved(known, labels[~held], strength, model)
        found[strength] = float((predicted(model, train[held]) == labels[held]).mean())
        say(f"C={strength:g}: {found[strength]:.2%} of the held-out texts, {model.steps} steps")
        # Above `plain` the accuracies say enough; below it a C that gives all texts one label is as good as others.
        losses[strength] = loss(model, train[held], labels[held]) if found[strength] <= plain else 0.0
        best = min(found, key=lambda c: (-found[c], losses[c], c))
        if len(found) - 1 - list(found).index(best) >= PATIENCE:
            break
    return best, models[best], found


def at_strength(train: Rows, labels: np.ndarray, test: Rows, strength: float) -> np.ndarray:
    """The most probable label of each row of `test`, int [M], by a regression of C = `strength` on features as they
    are. UserError: fewer than two labels."""
    if len(np.unique(labels)) < 2:
        raise UserError(f"{len(labels)} training texts have fewer than two labels to fit")
    return predicted(_solved(train.astype(np.float64), labels, strength), test)


def scaled(train: Rows, test: Rows, fitted: np.ndarray) -> tuple[Rows, Rows, float]:
    """(train, test, number that they were divided by): see the module. A feature that never varies becomes 0.

    They are float64, as in 32 bits Newton's method stops short of the optimum for a high C.

    `fitted` bool [N] are the rows of `train` whose means and lengths count.
    """
    scale = scale_of(train, fitted)
    return scale.applied(train), scale.applied(test), scale.divisor


def _solved(features: Rows, labels: np.ndarray, strength: float, start: Solution | None = None) -> Solution:
    """The optimum, from the solution `start` where there is one."""
    from threadpoolctl import threadpool_limits

    # One thread: with more, sums are added in another order, and the last digits change with their number.
    with threadpool_limits(1):
        return solve(features, labels, strength, start, TOLERANCE, STEPS)
