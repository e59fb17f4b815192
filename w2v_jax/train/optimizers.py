"""The learning-rate schedule and the optax optimiser of dense leaves; `rows.py` holds the optimisers of table rows."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from w2v_jax.config import OptimizerConfig
from w2v_jax.types import Array


def schedule(cfg: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """Learning rate by step: constant, or linear from `learning_rate` to `final_fraction` of it over the whole run."""
    if cfg.schedule == "constant":
        return optax.constant_schedule(cfg.learning_rate)
    floor = cfg.learning_rate * cfg.final_fraction

    # Stops at the floor as the C tool does, rather than aiming at it.
    def rate(step: Array) -> Array:
        return jnp.maximum(cfg.learning_rate * (1.0 - step / total_steps), floor)

    return rate


def dense(cfg: OptimizerConfig, total_steps: int) -> optax.GradientTransformation:
    """The optax optimiser that `cfg.dense` names, under the common schedule."""
    rate = schedule(cfg, total_steps)
    if cfg.dense == "adamw":
        return optax.adamw(rate, weight_decay=cfg.weight_decay)
    return optax.adagrad(rate) if cfg.dense == "adagrad" else optax.sgd(rate)
