"""Scale rules: what changes with the width and the depth of a model so that the best learning rate does not.

With m = D / base_dim, the width in units of a base at which the rate was chosen, and for Adam (Yang et al. 2022,
"Tensor Programs V", arXiv 2203.03466, in the form with multipliers):

    array                            start           rate        elsewhere
    embedding, head's table          sigma           rate        logits times 1 / m
    matrix with a fan-in of width    sigma / sqrt m  rate / m^p  weight decay times the rate is that of the base
    gains, biases, one weight a dim  as at the base  rate        -
    scores of attention              -               -           times sqrt(h_0 / h), h the width of a head: q k / h

and with depth, as CompleteP (Dey et al. 2025, arXiv 2505.01618, alpha = 1):

    what a layer adds to the sum     as at base      -           times (L_0 / L)^q
    matrix of a layer                -               times (L / L_0)^r

with p = q = 1 and r = 0 (`model.rate_power`, `model.branch_power`, `model.depth_rate_power`). These powers hold where
the changes of all units, and of all layers, point one way, so that they add up. Where they are as good as independent,
they add as a root, and p = .5 and r = .5 hold (Everett et al. 2024, arXiv 2407.05872, measure how far changes over the
width point one way). Training lies between the two. q = .5 is the rule of Yang et al. 2023 (arXiv 2310.02244).

At the base itself nothing changes. A rate of Adam is meant: SGD and Adagrad follow other rules and are refused.
`model.table_rate` multiplies the rate of embedding and head's table at every width, the base too: where both kinds of
arrays have to learn at one rate, the best one is a compromise, and a compromise need not stay where it is.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from w2v_jax.errors import UserError, check
from w2v_jax.types import Array


class Scale(NamedTuple):
    """Multipliers of a model's size against its base; ones are the standard parametrisation."""

    width: float = 1.0  # m
    heads: float = 1.0  # width of a head over that of the base
    depth: float = 1.0  # L / L_0
    base_layers: int = 0  # L_0; 0 where depth is not scaled
    rate_power: float = 1.0  # p
    branch_power: float = 1.0  # q
    depth_rate_power: float = 0.0  # r

    @property
    def shrink(self) -> float:
        """By which starts of matrices are divided."""
        return math.sqrt(self.width)

    @property
    def rate(self) -> float:
        """Of matrices with a fan-in of the width, in layers."""
        return self.width**-self.rate_power * self.depth**self.depth_rate_power

    @property
    def logits(self) -> float:
        """The multiplier of logits."""
        return 1.0 / self.width

    @property
    def query(self) -> float:
        """The multiplier of queries, over the usual 1 / sqrt(width of a head)."""
        return 1.0 / math.sqrt(self.heads)

    @property
    def branch(self) -> float:
        """The multiplier of what a layer adds."""
        return self.depth**-self.branch_power


STANDARD = Scale()


def check_power(cfg: Any, key: str, base: str) -> None:
    """Raises `UserError` unless the power `key` of a model is in [0, 1], and its default where no `base` is set."""
    value = getattr(cfg, key)
    check(0 <= value <= 1, f"model.{key}", value, "from 0 to 1")
    if value != type(cfg).__dataclass_fields__[key].default and not getattr(cfg, base):
        raise UserError(f"model.{key}={value}: needs model.{base}, from which it scales")


def scaled(x: Array, by: float) -> Array:
    """x times a multiplier, in the dtype of x; x itself for 1."""
    return x if by == 1.0 else x * jnp.asarray(by, x.dtype)
