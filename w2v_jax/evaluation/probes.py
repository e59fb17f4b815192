"""Linear probes: what a linear map can read from hidden states (Alain and Bengio 2016, arXiv 1610.01644).

A probe is multinomial logistic regression from a state to a label, fitted on some texts and scored on others. It says
whether the label is there in a form that the next layer's matrices could use, not whether the model uses it.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.evaluation.attention import doubling
from w2v_jax.evaluation.classification import accuracy_error

NONE = -1  # a position that has no label
STRENGTH = 0.1  # inverse of the weight of the squared norm, for standardised features
STEPS = 100  # of L-BFGS at most; further steps hardly change a prediction


class Probe(NamedTuple):
    """How well a label is read from states."""

    accuracy: float
    error: float  # standard error of the accuracy, as if positions were independent
    majority: float  # accuracy of naming the label that is most frequent among those fitted on
    fitted: int  # positions
    scored: int
    classes: int  # labels met while fitting


def read(states: np.ndarray, labels: np.ndarray, fit: np.ndarray) -> Probe | None:
    """Fits a probe on some texts and scores it on the others.

    Args:
      states: float [W, T, D].
      labels: int [W, T]; `NONE` where a position is left out.
      fit: bool [W], texts to fit on.

    Returns:
      The probe; None where fewer than two labels are met while fitting, or nothing is left to score.
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
    """scikit-learn's regression after its scaler. Nothing is drawn: the same input gives the same probe."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=STEPS, tol=1e-3))
    # Threads of products this small wait for each other, on a busy machine for longer than the products take.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def words_back(tokens: np.ndarray, back: int, kept: np.ndarray) -> np.ndarray:
    """The token `back` places before each (after it where negative), as a label.

    Args:
      tokens: int [W, T].
      back: k; 0 is the token itself, -1 the next.
      kept: int [K], tokens that are labels; the others are left out.

    Returns:
      int64 [W, T], `NONE` where the text has no such place.
    """
    out = np.full(tokens.shape, NONE, np.int64)
    size = tokens.shape[1] - abs(back)
    if size > 0:
        first, source = max(back, 0), max(-back, 0)
        out[:, first : first + size] = tokens[:, source : source + size]
    return np.where(np.isin(out, kept), out, NONE)


def since_start(tokens: np.ndarray, end: int | None) -> np.ndarray:
    """The bin (`doubling`) of the number of tokens since the last end token, or since the start of the text.

    Args:
      tokens: int [W, T].
      end: id of the end token, which is the last of its document; None where there is none.

    Returns:
      int64 [W, T].
    """
    places = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    first = np.zeros(tokens.shape, np.int64)
    if end is not None:
        ended = tokens[:, :-1] == end
        first[:, 1:] = np.maximum.accumulate(np.where(ended, places[:, 1:], 0), axis=1)
    return doubling(places - first)
