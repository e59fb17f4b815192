"""Measurements of speed and size: training steps on arrays instead of a corpus, a clock, numbers of parameters."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import Config
from w2v_jax.family import Family
from w2v_jax.models import MODELS
from w2v_jax.nn.arrays import real_size, shapes
from w2v_jax.train.estimate import check_memory
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import programs, stand_in
from w2v_jax.train.sharding import make_mesh
from w2v_jax.train.step import TrainState
from w2v_jax.types import Batch, Metrics

ROUNDS = 5  # of all calls in turn; reports give the median
MOST = 1000  # calls that are sent before one is waited for

Call = Callable[[], Any]
"""Starts work that depends on the call before it, and returns arrays to wait for."""


class Ready(NamedTuple):
    """A run before its first step."""

    state: TrainState
    call: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    """(state, `steps_per_call` batches) -> (state, metrics summed over them); compiled, and the state is donated."""


def ready(config: Config, vocab_size: int) -> Ready:
    """Compiles the training call of a language model (with `mesh.data` 1) for the first device; makes the state."""
    words, devices = stand_in(config, vocab_size), jax.devices()[:1]
    check_memory(MODELS[config.family], config, make_mesh(config.mesh, devices), words)
    made = programs(config, words, devices)
    call = made.training(Horizon(1000, 1000), made.consts)
    count, stop = jnp.int32(config.train.steps_per_call), jnp.zeros(1, jnp.int32)
    state = made.start().compile()(made.consts)
    return Ready(state, lambda state, batches: call(state, batches, count, stop)[:2])


def stacks(tokens: np.ndarray, targets: np.ndarray, size: int) -> list[Batch]:
    """Text of S steps, int32 [S, B, T] each, as `S / size` stacks of batches on the device; no lane restarts."""
    steps, rows, length = tokens.shape
    start, words = np.zeros((steps, rows), np.int32), np.full((steps, rows), length, np.int32)
    entries = {"tokens": tokens, "targets": targets, "start": start, "words": words}
    return [{k: jnp.asarray(v[i : i + size]) for k, v in entries.items()} for i in range(0, steps, size)]


def repeated(config: Config, vocab_size: int) -> Call:
    """One whole training step of a language model per call, from the state after the last call, on one device and
    random text."""
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
    """The number of entries in a tree of arrays, or of their shapes."""
    return sum(x.size for x in jax.tree.leaves(tree))


def parameters_without_padding(spec: Family, cfg: Any) -> int:
    """The number of parameters of a resolved config as papers count them: without the rows that make tables round."""
    return sum(real_size(leaf, cfg.vocab_size) for leaf in jax.tree.leaves(dict(spec.arrays(cfg))))


def size_of(family: str, model: Any, vocab_size: int) -> int:
    """The number of parameters of a language model, without making them."""
    spec = MODELS[family]
    return parameters(shapes(spec.arrays(spec.resolve(model, vocab_size))))


def seconds_of(call: Call, count: int) -> float:
    """Mean time of `count` calls that are all sent before the last is waited for."""
    begin, out = time.perf_counter(), None
    for _ in range(count):
        out = call()
    jax.block_until_ready(out)
    return (time.perf_counter() - begin) / count


def clock(calls: Sequence[Call], budget: float) -> list[list[float]]:
    """Seconds per call, one value per round, of every call. All take turns, so that changes of the machine's speed
    affect them alike. Each may take `budget` seconds in all; slow calls have fewer than ROUNDS rounds, but at least 3.
    """
    once = [max(min(seconds_of(call, 1) for _ in range(2)), 1e-7) for call in calls]
    rounds = min(ROUNDS, max(3, int(budget / max(once))))
    counts = [min(MOST, max(1, round(budget / rounds / s))) for s in once]
    found: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for own, call, count in zip(found, calls, counts, strict=True):
            own.append(seconds_of(call, count))
    return found
