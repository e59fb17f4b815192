"""Learning-rate schedules and the optax optimiser of dense leaves; `rows.py` holds the optimisers of table rows.

The rate multiplies last, in the step, so that one schedule and one scale (`TrainState.rate_scale`) act on dense leaves
and on rows alike.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from w2v_jax.config import OptimizerConfig
from w2v_jax.errors import UserError
from w2v_jax.types import Array, Params

_PARTS = 10_000  # `decay_fraction` counts to so many parts of the whole


def schedule(cfg: OptimizerConfig, total_steps: Array | int, steps_per_pass: Array | int) -> optax.Schedule:
    """Learning rate by step s, r(s) = learning_rate * min(1, s / W) * shape(s), with W = warmup_steps.

    Where p = (s - W) / (total_steps - W), held between 0 and 1, and f = final_fraction, the shapes are

        linear             max(1 - p, f)
        cosine             f + (1 - f) (1 + cos(pi p)) / 2    (Loshchilov and Hutter 2017, arXiv 1608.03983)
        constant, plateau  1    (plateau: the loop lowers `TrainState.rate_scale`, see `w2v_jax.train.plateau`)
        step               decay ** max(0, floor(s / steps_per_pass) + 1 - hold_passes)    (Zaremba et al. 2014,
                           arXiv 1409.2329: 4 passes at the full rate, then half of it at every further pass)
        wsd                1 before step b = `decay_start`, then f + (1 - f) (1 - sqrt((s - b) / (total_steps - b)))

    wsd is warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395): runs that differ in length alone make the same
    steps until the shorter one begins to decay. Its decay is the one that ended lowest of those that Hägele et al. 2024
    (arXiv 2405.18392) compare.

    Steps are int32 scalars or ints, rates float32 scalars. `steps_per_pass` is of the training text, for `step` only.
    """
    warmup, floor = cfg.warmup_steps, cfg.learning_rate * cfg.final_fraction
    span = jnp.maximum(total_steps - warmup, 1) if isinstance(total_steps, Array) else max(total_steps - warmup, 1)

    def progress(step: Array) -> Array:
        return (jnp.maximum(step - warmup, 0) if warmup else step) / span

    # The line aims at 0 and stops at the floor, as in the C tool.
    def linear(step: Array) -> Array:
        return jnp.maximum(cfg.learning_rate * (1.0 - progress(step)), floor)

    def cosine(step: Array) -> Array:
        half = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(progress(step), 1.0)))
        return floor + (cfg.learning_rate - floor) * half

    def by_pass(step: Array) -> Array:
        return cfg.learning_rate * cfg.decay ** jnp.maximum(step // steps_per_pass + 1 - cfg.hold_passes, 0)

    def stable(step: Array) -> Array:
        begin = decay_start(cfg, total_steps)
        left = jnp.clip((total_steps - step) / (total_steps - begin), 0.0, 1.0)
        share = left / (1.0 + jnp.sqrt(1.0 - left))  # 1 - sqrt(1 - left), without its rounding near the end
        # Not by the arithmetic of the decay: until it begins, the rate must have the same bits in runs of any length.
        return jnp.where(step < begin, cfg.learning_rate, floor + (cfg.learning_rate - floor) * share)

    constant = optax.constant_schedule(cfg.learning_rate)
    rate = {"linear": linear, "cosine": cosine, "step": by_pass, "wsd": stable}.get(cfg.schedule, constant)
    return (lambda step: rate(step) * jnp.minimum(step / warmup, 1.0)) if warmup else rate


def decay_start(cfg: OptimizerConfig, total_steps: Array | int) -> Array | int:
    """The step before which the rate of schedule wsd does not depend on the length of the run, an int or int32 scalar.

    The decay has `decay_fraction` of the steps, rounded down, and one at least. Counted in whole numbers, so that the
    host and the device find the same step.
    """
    share = round(cfg.decay_fraction * _PARTS)
    steps = total_steps // _PARTS * share + total_steps % _PARTS * share // _PARTS
    return total_steps - (jnp.maximum(steps, 1) if isinstance(total_steps, Array) else max(steps, 1))


class Horizon(NamedTuple):
    """Steps of a run and of one pass, ints or int32 scalars: as arguments, one program serves runs of any length."""

    run: Array | int
    one_pass: Array | int


def decays(cfg: OptimizerConfig, params: Params, axes: Params) -> Params:
    """For each leaf of `params`, whether weight decay acts on it: it has 2 or more axes, and none of the vocabulary
    unless `decay_embeddings`. The axis of stacked layers does not count: stacked gains of a norm do not decay.

    `axes` are the logical names of `Family.axes`, perhaps of more leaves than `params`.
    """

    def one(leaf: Array, names: tuple[str | None, ...] | None) -> bool:
        own = leaf.ndim - ("layers" in (names or ()))
        return own >= 2 and (cfg.decay_embeddings or "vocab" not in (names or ()))

    return jax.tree.map(one, params, {k: axes[k] for k in params})


def _multiplied(updates: Params, rates: Params) -> Params:
    return jax.tree.map(lambda update, rate: update * rate, updates, {k: rates[k] for k in updates})


def dense(cfg: OptimizerConfig, axes: Params, rates: Params) -> optax.GradientTransformation:
    """The optax optimiser `cfg.dense` without the rate: an update is -rate times its result. `axes`: see `decays`.

    `rates` are the multipliers of `Family.rates`, perhaps of more leaves; they act on the step of Adam and not on the
    decay, so that rate times decay is the same at every width.

    With g the gradient, scaled down to `clip_norm` when the norm of all leaves together is above it (Pascanu et al.
    2013, arXiv 1211.5063):

        sgd      g
        adagrad  g / sqrt(a + 1e-7),  a <- a + g^2 from 0.1    (Duchi et al. 2011)
        adamw    m' / (sqrt(v') + eps) + weight_decay w,  m', v' the averages of g and g^2 under beta1 and beta2,
                 corrected for their start at 0    (Loshchilov and Hutter 2019, arXiv 1711.05101)

    UserError: multipliers other than 1 with another optimiser than adamw.
    """
    plain = all(rate == 1.0 for rate in jax.tree.leaves(rates))
    if not plain and cfg.dense != "adamw":
        raise UserError(
            f"optimizer.dense={cfg.dense}: model.base_dim and model.table_rate are for adamw; use it, or leave them out"
        )
    parts = [optax.clip_by_global_norm(cfg.clip_norm)] if cfg.clip_norm else []
    if cfg.dense == "adagrad":
        parts.append(optax.scale_by_rss())
    elif cfg.dense == "adamw":
        parts.append(optax.scale_by_adam(cfg.beta1, cfg.beta2, cfg.eps))
        if not plain:
            parts.append(optax.stateless(lambda updates, params: _multiplied(updates, rates)))
        if cfg.weight_decay:
            parts.append(optax.add_decayed_weights(cfg.weight_decay, lambda params: decays(cfg, params, axes)))
    return optax.chain(*parts) if parts else optax.identity()
