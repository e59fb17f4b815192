"""Distances of two vectors a, b [F] and the losses of labelled pairs.

A pair has a score y from 0 (DIFFERENT, or the lowest grade) to 1 (SAME, or the highest). Losses, of one pair each but
for the second:

    contrastive   d = |a - b|_2, y max(0, d - near)^2 + (1 - y) max(0, margin - d)^2    (Hadsell et al. 2006 for near 0)
    info_nce      d = 1 - cos, the mean over both directions of -log softmax_j(cos(a_i, b_j) / temperature)_i over the
                  texts b_j of the batch, for the pairs that are SAME (van den Oord et al. 2018, arXiv 1807.03748)
    cosine        d = 1 - cos, (cos(a, b) - y)^2
    manhattan     d = 1 - exp(-|a - b|_1), (exp(-|a - b|_1) - y)^2                      (Mueller and Thyagarajan 2016)
    grades        d = 1 - sum_k p_k g_k, KL(q || p), p = softmax(sigmoid([|a - b|, a * b] U + e) W + c)  (Tai et al.
                  2015, arXiv 1503.00075), g the grades from 0 to 1, q the two grades beside y, with mean y

With `near` = `margin` = `threshold` a contrastive pair has a gradient only where the answer is wrong, as in the notes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.data.pairs import SAME_FROM
from w2v_jax.nn.arrays import constant, uniform
from w2v_jax.types import Array, Leaf, Params

LOSSES = ("contrastive", "info_nce", "cosine", "manhattan", "grades")
REGRESSIONS = ("cosine", "manhattan", "grades")  # their scores are trained to be those of the pairs
TINY = 1e-12  # added under roots, whose gradient at 0 would be infinite


@dataclasses.dataclass(frozen=True)
class Objective:
    """The options of a loss; see `PairEncoderConfig`."""

    loss: str
    threshold: float
    margin: float
    near: float
    temperature: float
    grades: int

    @property
    def cut(self) -> float:
        """The largest distance of a pair that counts as SAME in training."""
        return self.threshold or (self.margin / 2 if self.loss == "contrastive" else 1.0 - SAME_FROM)


def head_arrays(features: int, units: int, grades: int, scale: float, texts: float) -> dict[str, Any]:
    """{'U' [2F, units], 'e' [units], 'W' [units, K], 'c' [K]} of grades; `texts` is the share of a pair per word."""
    start = uniform(-scale, scale)
    return {
        "U": Leaf((2 * features, units), ("embed", None), start, 2 * features, texts),
        "e": Leaf((units,), (None,), constant(0.0)),
        "W": Leaf((units, grades), (None, None), start, units, texts),
        "c": Leaf((grades,), (None,), constant(0.0)),
    }


def cosine(a: Array, b: Array) -> Array:
    """cos of rows, [..., F] -> [...]; 0 where one of the two is zero."""
    return (a * b).sum(-1) / jnp.sqrt((a * a).sum(-1) * (b * b).sum(-1) + TINY)


def grade_logits(head: Params, a: Array, b: Array) -> Array:
    """[B, F] twice -> logits of the grades, [B, K]."""
    features = jnp.concatenate([jnp.abs(a - b), a * b], axis=1)
    return jax.nn.sigmoid(features @ head["U"] + head["e"][None]) @ head["W"] + head["c"][None]


def compared(how: Objective, head: Params, a: Array, b: Array) -> tuple[Array, Array]:
    """(distances, scores) of pairs of vectors, [B, F] twice -> [B] twice; see the module's docstring."""
    if how.loss == "contrastive":
        distance = jnp.sqrt(((a - b) ** 2).sum(1) + TINY)
        return distance, -distance
    if how.loss == "manhattan":
        score = jnp.exp(-jnp.abs(a - b).sum(1))
    elif how.loss == "grades":
        score = jax.nn.softmax(grade_logits(head, a, b)) @ jnp.linspace(0.0, 1.0, how.grades)
    else:
        score = cosine(a, b)
    return 1.0 - score, score


def grade_targets(score: Array, grades: int) -> Array:
    """q of Tai et al. 2015: [B] from 0 to 1 -> [B, K], the two grades beside each score, whose mean is the score."""
    place = score[:, None] * (grades - 1)
    return jnp.maximum(0.0, 1.0 - jnp.abs(place - jnp.arange(grades, dtype=jnp.float32)[None]))


def _in_batch(how: Objective, a: Array, b: Array, same: Array, there: Array) -> Array:
    """info_nce of each pair, [B]; 0 where it is not SAME. Texts of absent pairs are no candidates."""
    unit_a, unit_b = (x / jnp.sqrt((x * x).sum(1, keepdims=True) + TINY) for x in (a, b))
    logits = unit_a @ unit_b.T / how.temperature
    sides = [jax.nn.logsumexp(x, axis=1, where=there[None]) for x in (logits, logits.T)]
    return jnp.where(same, 0.5 * (sides[0] + sides[1]) - jnp.diagonal(logits), 0.0)


def pair_losses(how: Objective, head: Params, a: Array, b: Array, score: Array, there: Array) -> tuple[Array, Array]:
    """(the loss of each pair, which pairs have one), [B] each, from vectors [B, F] and scores [B]; 0 without one."""
    same = there & (score >= SAME_FROM)
    if how.loss == "info_nce":
        return _in_batch(how, a, b, same, there), same
    distance, found = compared(how, head, a, b)
    if how.loss == "contrastive":
        apart = jnp.maximum(0.0, how.margin - distance) ** 2
        losses = score * jnp.maximum(0.0, distance - how.near) ** 2 + (1.0 - score) * apart
    elif how.loss == "grades":
        q = grade_targets(score, how.grades)
        known = jnp.where(q > 0, q * jnp.log(jnp.where(q > 0, q, 1.0)), 0.0).sum(1)
        losses = known - (q * jax.nn.log_softmax(grade_logits(head, a, b))).sum(1)
    else:
        losses = (found - score) ** 2
    return jnp.where(there, losses, 0.0), there
