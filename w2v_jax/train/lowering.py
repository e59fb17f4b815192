"""Lowers a run's step without any data: memory and collectives can be looked at before anyone pays for a pod."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train.sharding import make_mesh
from w2v_jax.train.step import init_state, make_call
from w2v_jax.types import Words


def stand_in_corpus(vocab_size: int) -> Any:
    """A corpus of Zipfian word counts and no text, enough for `Family.consts`."""
    counts = np.maximum(1e7 / np.arange(1, vocab_size + 1), 5.0).astype(np.int64)
    return Words(None, counts)


def lower_step(config: Config, devices: Sequence[jax.Device] | None = None, vocab_size: int = 0) -> Any:
    """Lowers one device call of the config's training on the given devices (which may be descriptions of absent ones).

    Args:
      config: the run.
      devices: all of this process when None.
      vocab_size: stands for the corpus where the config does not state `model.vocab_size`.

    Returns:
      A `jax.stages.Lowered`; `.compile()` gives memory analysis and text.
    """
    spec = MODELS[config.family]
    size = config.model.vocab_size or vocab_size
    if not size:
        raise UserError("model.vocab_size=0: state the vocabulary size to lower the step without its data")
    cfg = spec.resolve(config.model, size)
    consts = jax.tree.map(jnp.asarray, spec.consts(cfg, stand_in_corpus(size)))
    mesh = make_mesh(config.mesh, devices)
    state = jax.eval_shape(lambda: init_state(spec, config, cfg, consts, total_steps=1000))
    call = make_call(spec, config, cfg, 1000, mesh, state, consts)
    stack = config.train.steps_per_call
    batches = {
        name: jax.ShapeDtypeStruct((stack, *entry.shape), entry.dtype)
        for name, entry in spec.trained.shapes(cfg, config.train.batch_size).items()
    }
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), consts)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    return call.lower(state, shapes, batches, count, jax.ShapeDtypeStruct((mesh.size,), jnp.int32))
