"""Training steps without a corpus: the device call of a run, fed arrays that are there. For measuring."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.train.lowering import lower_step
from w2v_jax.train.step import TrainState, init_state
from w2v_jax.types import Batch, Metrics


class Ready(NamedTuple):
    """A run before its first step."""

    state: TrainState
    call: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    """(state, `steps_per_call` batches) -> (state, metrics summed over them); compiled, and the state is donated."""


def ready(config: Config, vocab_size: int) -> Ready:
    """Compiles the training call of a language model for the first device and makes its first state.

    Args:
      config: the run; `mesh.data` is 1.
      vocab_size: V, as no text gives it.
    """
    spec = MODELS[config.family]
    cfg = spec.resolve(config.model, vocab_size)
    state = jax.jit(lambda: init_state(spec, config, cfg, {}, 1000))()
    compiled = lower_step(config, vocab_size=vocab_size).compile()
    count, stop = jnp.int32(config.train.steps_per_call), jnp.zeros(1, jnp.int32)
    return Ready(state, lambda state, batches: compiled(state, {}, batches, count, stop)[:2])


def stacks(tokens: np.ndarray, targets: np.ndarray, size: int) -> list[Batch]:
    """Text of S steps, int32 [S, B, T] each, as `S / size` stacks of batches on the device; no lane begins anew."""
    steps, rows, length = tokens.shape
    entries = {
        "tokens": tokens,
        "targets": targets,
        "start": np.zeros((steps, rows), np.int32),
        "words": np.full((steps, rows), length, np.int32),
    }
    return [{k: jnp.asarray(v[i : i + size]) for k, v in entries.items()} for i in range(0, steps, size)]


def repeated(config: Config, vocab_size: int) -> Callable[[], Any]:
    """One whole training step of a language model at a call, on the state that the last one left and on random text.

    Args:
      config: the run; its mesh and its steps a call are set to one device and one step.
      vocab_size: V.
    """
    mesh = dataclasses.replace(config.mesh, data=1, model=1, fsdp=False)
    config = dataclasses.replace(config, mesh=mesh, train=dataclasses.replace(config.train, steps_per_call=1))
    state, call = ready(config, vocab_size)
    shape = (1, config.train.batch_size, config.model.length + 1)
    text = np.random.default_rng(0).integers(0, vocab_size, shape, np.int32)
    (batches,) = stacks(text[..., :-1], text[..., 1:], 1)

    def step() -> Any:
        nonlocal state
        state, metrics = call(state, batches)
        return state, metrics

    return step


def parameters(tree: Any) -> int:
    """Numbers in a tree of arrays, or of their shapes."""
    return sum(x.size for x in jax.tree.leaves(tree))
