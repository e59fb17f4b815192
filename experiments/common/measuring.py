"""What commands measure with: training steps fed with ready arrays in place of a corpus, and a clock."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.nn.arrays import shapes
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import programs, stand_in
from w2v_jax.train.step import TrainState
from w2v_jax.types import Batch, Metrics

ROUNDS = 5  # of all calls in turn; the median is reported
MOST = 1000  # calls that are dispatched before the last is waited for

Call = Callable[[], Any]
"""Starts a piece of work that waits for the call before it, and returns what can be waited for."""


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
    made = programs(config, stand_in(config, vocab_size), jax.devices()[:1])
    call = made.training(Horizon(1000, 1000), made.consts)
    count, stop = jnp.int32(config.train.steps_per_call), jnp.zeros(1, jnp.int32)
    state = made.start().compile()(made.consts)
    return Ready(state, lambda state, batches: call(state, batches, count, stop)[:2])


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


def size_of(family: str, model: Any, vocab_size: int) -> int:
    """Numbers in the trained arrays of a language model, none of which is made."""
    spec = MODELS[family]
    cfg = spec.resolve(model, vocab_size)
    return parameters(shapes(spec.arrays(cfg)))


def seconds_of(call: Call, count: int) -> float:
    """Mean time of `count` calls that are all sent before the last is waited for."""
    begin, out = time.perf_counter(), None
    for _ in range(count):
        out = call()
    jax.block_until_ready(out)
    return (time.perf_counter() - begin) / count


def clock(calls: Sequence[Call], budget: float) -> list[list[float]]:
    """Seconds of a call, ROUNDS for each: all take turns, so that none meets a better moment of the machine.

    Args:
      calls: warmed up by one call each here.
      budget: seconds that each may take in all; where a few calls take longer there are fewer rounds, 3 at least.
    """
    once = [max(min(seconds_of(call, 1) for _ in range(2)), 1e-7) for call in calls]
    rounds = min(ROUNDS, max(3, int(budget / max(once))))
    counts = [min(MOST, max(1, round(budget / rounds / s))) for s in once]
    found: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for own, call, count in zip(found, calls, counts, strict=True):
            own.append(seconds_of(call, count))
    return found
