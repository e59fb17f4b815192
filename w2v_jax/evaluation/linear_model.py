"""A fitted linear classifier, ready for further texts: the scale of its features and the regression on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from w2v_jax.evaluation.softmax import Solution, probabilities


class Scale(NamedTuple):
    """What features are put on one scale by: see `w2v_jax.evaluation.linear`."""

    divisor: float
    mean: np.ndarray | None = None  # float64 [F], of dense features
    spread: np.ndarray | None = None  # float64 [F], of dense features; infinite where one never varies

    def applied(self, rows: Any) -> Any:
        """Features [N, F] on this scale, float64; sparse ones stay sparse."""
        if self.mean is None or self.spread is None:
            return rows.astype(np.float64) / self.divisor
        return (rows - self.mean) / self.spread / self.divisor


class Classifier(NamedTuple):
    """A classifier of rows of features."""

    scale: Scale
    solution: Solution

    def probabilities(self, rows: Any, classes: int) -> np.ndarray:
        """Of features [N, F] as they are: float64 [N, `classes`]; 0 for a label without a fitted text."""
        chances = np.zeros((rows.shape[0], classes))
        chances[:, self.solution.classes] = probabilities(self.solution, self.scale.applied(rows))
        return chances


def scale_of(rows: Any, fitted: np.ndarray) -> Scale:
    """The scale of features [N, F] by those `fitted` bool [N]. A feature that never varies becomes 0."""
    if not sp.issparse(rows):
        known = np.asarray(rows, np.float64)[fitted]
        mean, spread = known.mean(0), known.std(0)
        spread = np.where(spread > 1e-12 * np.abs(known).max(initial=1e-300), spread, np.inf)
        return Scale(float(np.sqrt(known.shape[1])), mean, spread)
    known = rows[fitted].astype(np.float64)
    return Scale(float(np.sqrt(known.multiply(known).sum() / known.shape[0])) or 1.0)
