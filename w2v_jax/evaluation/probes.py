"""Linear probes: what a linear map can read from hidden states (Alain and Bengio 2016, arXiv 1610.01644).

A probe is multinomial logistic regression from a state to a label, fitted on some texts and scored on others. It tells
whether the matrices of the next layer could use the label, not whether the model uses it.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.evaluation.attention import doubling
from w2v_jax.evaluation.classification import accuracy_error

NONE = -1  # a position without a label
STRENGTH = 0.1  # inverse of the weight of the squared norm, for standardised features
STEPS = 100  # of L-BFGS at most; more hardly change a prediction


class Probe(NamedTuple):
    accuracy: float
    error: float  # standard error of the accuracy, as if positions were independent
    majority: float  # accuracy of always predicting the most frequent label of the fit
    fitted: int  # positions
    scored: int
    classes: int  # labels in the fit


def read(states: np.ndarray, labels: np.ndarray, fit: np.ndarray) -> Probe | None:
    """Fits a probe from states float [W, T, D] to labels int [W, T] on the texts `fit`, bool [W]; scores the others.

    Positions of label `NONE` are ignored. None: fewer than two labels to fit, or nothing to score.
    """
    there = labels != NONE
    known, asked = there & fit[:, None], there & ~fit[:, None]
    names, counts = np.unique(labels[known], return_counts=True)
    if len(names) < 2 or not asked.any():
        return None
    model = _fitted(states[known].astype(np.float32), labels[known])
    accuracy = float((model.predict(states[asked].astype(np.float32)) == labels[asked]).mean())
    majority = float((labels[asked] == names[counts.argmax()]).mean())
    scored = int(asked.sum())
    return Probe(accuracy, accuracy_error(accuracy, scored), majority, int(known.sum()), scored, len(names))


def _fitted(features: np.ndarray, labels: np.ndarray) -> Any:
    """Logistic regression of standardised features; deterministic."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=STEPS, tol=1e-3))
    # For products this small, threads wait for each other longer than they compute.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def words_back(tokens: np.ndarray, back: int, kept: np.ndarray) -> np.ndarray:
    """The token k = `back` places before each of int [W, T] as its label, int64 [W, T]; 0 is itself, -1 the next.

    `NONE` where there is no such place, or where the token is not among `kept`, int [K].
    """
    out = np.full(tokens.shape, NONE, np.int64)
    size = tokens.shape[1] - abs(back)
    if size > 0:
        first, source = max(back, 0), max(-back, 0)
        out[:, first : first + size] = tokens[:, source : source + size]
    return np.where(np.isin(out, kept), out, NONE)


def since_start(tokens: np.ndarray, end: int | None) -> np.ndarray:
    """Bins (`doubling`) of the number of tokens since the last end token or the start, int [W, T] -> int64 [W, T].

    `end` is the id of the end token, the last token of a document; None without one.
    """
    places = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    first = np.zeros(tokens.shape, np.int64)
    if end is not None:
        ended = tokens[:, :-1] == end
        first[:, 1:] = np.maximum.accumulate(np.where(ended, places[:, 1:], 0), axis=1)
    return doubling(places - first)
