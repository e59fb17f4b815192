"""Scale rules: what changes with the width and the depth of a model so that the best learning rate does not.

With m = D / base_dim, the width in units of a base at which the rate was chosen, and for Adam (Yang et al. 2022,
"Tensor Programs V", arXiv 2203.03466, in the form with multipliers):

    array                            start           rate        elsewhere
    embedding, head's table          sigma           rate / m^s  logits times 1 / m^r
    matrix with a fan-in of width    sigma / sqrt m  rate / m    weight decay times the rate is that of the base
    gains, biases, one weight a dim  as at the base  rate        -
    scores of attention              -               -           times sqrt(h_0 / h), h the width of a head: q k / h

and with depth, as CompleteP (Dey et al. 2025, arXiv 2505.01618, alpha = 1):

    what a layer adds to the sum     as at base      rate        times L_0 / L

muP has s = 0 and r = 1. With s = .5 (`model.table_power`) the rate of a table over that of a matrix grows as the root
of the width, which Hayou and Liu 2025 (arXiv 2506.15025) derive for vocabularies that are large beside the width. With
r below 1 (`model.logits_power`) logits start with a size that goes as m^(1/2 - r), and move further the wider the model
is, by up to m^(1 - r) in a step: they fail the coordinate check, the states do not. With r = 0 an LSTM and an RNN on
Wikipedia learned more (docs/forecasts.md).

At the base itself nothing changes. A rate of Adam is meant: SGD and Adagrad follow other rules and are refused.
`model.table_rate` multiplies the rate of embedding and head's table at every width, the base too: where both kinds of
arrays have to learn at one rate, the best one is a compromise, and a compromise need not stay where it is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp

from w2v_jax.errors import UserError, check
from w2v_jax.types import Array


class Scale(NamedTuple):
    """Multipliers of a model's size against its base; ones are the standard parametrisation."""

    width: float = 1.0  # m
    heads: float = 1.0  # width of a head over that of the base
    depth: float = 1.0  # L / L_0
    base_layers: int = 0  # L_0; 0 where depth is not scaled
    table_power: float = 0.0  # s
    logits_power: float = 1.0  # r

    @property
    def shrink(self) -> float:
        """By which starts of matrices are divided."""
        return math.sqrt(self.width)

    @property
    def rate(self) -> float:
        """Of matrices with a fan-in of the width."""
        return 1.0 / self.width

    @property
    def table(self) -> float:
        """Of embedding and head's table."""
        return self.width**-self.table_power

    @property
    def logits(self) -> float:
        """The multiplier of logits."""
        return self.width**-self.logits_power

    @property
    def query(self) -> float:
        """The multiplier of queries, over the usual 1 / sqrt(width of a head)."""
        return 1.0 / math.sqrt(self.heads)

    @property
    def branch(self) -> float:
        """The multiplier of what a layer adds."""
        return 1.0 / self.depth


STANDARD = Scale()


def check_powers(table_rate: float, table_power: float, logits_power: float, base_dim: int) -> None:
    """Raises `UserError` unless these keys of a model go together."""
    check(table_rate > 0, "model.table_rate", table_rate, "above 0")
    check(0 <= table_power <= 1, "model.table_power", table_power, "from 0 to 1")
    check(0 <= logits_power <= 1, "model.logits_power", logits_power, "from 0 to 1")
    for key, power, off in (("table_power", table_power, 0.0), ("logits_power", logits_power, 1.0)):
        if power != off and not base_dim:
            raise UserError(f"model.{key}={power}: needs model.base_dim, the width from which it scales")


def scaled(x: Array, by: float) -> Array:
    """x times a multiplier, in the dtype of x; x itself for 1."""
    return x if by == 1.0 else x * jnp.asarray(by, x.dtype)
