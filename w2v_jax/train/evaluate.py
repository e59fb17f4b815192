"""Held-out scoring during training."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from w2v_jax.train.device import place, send
from w2v_jax.train.prepare import Run
from w2v_jax.types import Params


def held_out(run: Run) -> Callable[[Params], dict[str, float]]:
    """params -> the means of 'loss' and the family's other metrics, on `log.eval_steps` held-out batches (0: all).

    The batches are read once and kept on the devices, each device holding its own rows. {} without held-out text.
    """
    if run.corpus.heldout.documents == 0:
        return lambda params: {}
    spec, train = run.programs.spec, run.config.train
    source = spec.trained.source(run.programs.cfg, run.corpus, "heldout", train.batch_size, train.seed)
    steps = min(source.steps_per_epoch, run.config.log.eval_steps or source.steps_per_epoch)
    (stack,) = source.iterate(0, steps, steps, jax.process_index(), jax.process_count())
    batches, first = send(run.mesh, stack), place(run.mesh, np.int32(0))
    evaluate = run.programs.evaluate(steps).compile()

    def score(params: Params) -> dict[str, float]:
        pairs = jax.device_get(evaluate(params, run.consts, batches, first))
        return {name: float(total) / max(float(count), 1.0) for name, (total, count) in pairs.items()}

    return score
