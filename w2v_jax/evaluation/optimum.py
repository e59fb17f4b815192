"""Distance of a model from the best possible loss of a text whose optimum is known at every position."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.tables import aligned

_BATCHES = 50


def distance_to_optimum(
    model_nats: np.ndarray, optimal_nats: np.ndarray, distance: np.ndarray | None = None
) -> dict[str, dict[str, float | int]]:
    """Mean of model minus optimal nats, over all positions and by kind of position.

        gap = sum_t m_t (a_t - b_t) / sum_t m_t

    where m_t is 1 at the positions of the kind. Up to sampling, the gap of all is the Kullback-Leibler divergence of
    the model from the language in nats per word. Its standard error is that of a ratio of sums over 50 contiguous
    batches of the text (or one per position). Their residuals, sum (a - b - gap) m, are taken as independent, which
    neighbouring positions are not.

    Args:
      model_nats: float [N], -log p of each token under the model, in the order of the text.
      optimal_nats: float [N], the same under the language.
      distance: int [N], words back to the subject at a verb, 0 elsewhere; None for "all" only.

    Returns:
      `{kind: {"gap", "standard_error", "model", "optimum", "positions"}}` for "all" and, with `distance`, "other" and
      "verb D" by rising D, in nats per position. The standard error is nan with a single batch of the kind.

    Raises:
      UserError: nats that are not finite.
      ValueError: different shapes, no position.
    """
    model, optimal = np.asarray(model_nats, np.float64), np.asarray(optimal_nats, np.float64)
    shapes = {model.shape, optimal.shape, model.shape if distance is None else np.shape(distance)}
    if len(shapes) > 1 or model.ndim != 1 or not len(model):
        raise ValueError("model_nats, optimal_nats and distance must be of one shape [N], N above 0")
    for name, nats in (("model", model), ("optimal", optimal)):
        if not np.isfinite(nats).all():
            at = int(np.isfinite(nats).argmin())
            raise UserError(f"{name} nats: {nats[at]} at position {at}; a loss must be finite at every position")
    masks = {"all": np.ones(len(model), bool)}
    if distance is not None:
        masks["other"] = np.asarray(distance) == 0
        masks |= {f"verb {d}": distance == d for d in np.unique(distance).tolist() if d > 0}
    return {kind: _gap(model, optimal, mask) for kind, mask in masks.items() if mask.any()}


def table(distances: Mapping[str, Mapping[str, float]]) -> str:
    """The result of `distance_to_optimum` as an aligned table, one line per kind of position."""
    rows = [["nats per token", "positions", "model", "optimum", "distance", "standard error"]]
    for kind, r in distances.items():
        values = (r[key] for key in ("model", "optimum", "gap", "standard_error"))
        rows.append([kind, f"{r['positions']:,}", *(f"{v:.4f}" for v in values)])
    return aligned(rows)


def _gap(model: np.ndarray, optimal: np.ndarray, mask: np.ndarray) -> dict[str, float | int]:
    n = int(mask.sum())
    gap = float((model - optimal)[mask].sum() / n)
    batch = np.arange(len(mask)) * min(_BATCHES, len(mask)) // len(mask)
    residuals = np.bincount(batch[mask], (model - optimal - gap)[mask], minlength=batch[-1] + 1)
    count = len(np.unique(batch[mask]))
    error = float(np.sqrt(count / (count - 1) * (residuals**2).sum()) / n) if count > 1 else float("nan")
    means = {name: float(nats[mask].sum() / n) for name, nats in (("model", model), ("optimum", optimal))}
    return {"gap": gap, "standard_error": error, **means, "positions": n}
