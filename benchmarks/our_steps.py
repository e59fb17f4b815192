"""What our sides have in common: the training step of `experiments.train`, fed ready-made arrays and timed."""

from __future__ import annotations

import sys
import time
from typing import Any

import jax

from benchmarks.sides import DECAY, RATE, STACK, Memory, Sizes, lanes
from experiments.common.measuring import parameters, ready, stacks
from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig


def config_of(family: str, model: Any, batch: int) -> Config:
    """The run that a benchmark is a piece of; everything decays but what has one axis."""
    optimizer = OptimizerConfig(
        dense="adamw", learning_rate=RATE, schedule="constant", weight_decay=DECAY, decay_embeddings=True
    )
    train = TrainConfig(batch_size=batch, steps_per_call=STACK)
    return Config(family, model, train=train, optimizer=optimizer, mesh=MeshConfig(data=1))


def timed(memory: Memory, config: Config, sizes: Sizes, steps: int) -> dict[str, Any]:
    """A side's result. Compilation and the first STACK steps are not timed; the loss is that of the last STACK."""
    begin = time.perf_counter()
    state, call = ready(config, sizes.vocabulary)
    count = parameters(state.params)
    batches = stacks(*lanes(sizes, STACK + steps), STACK)
    compile_seconds = time.perf_counter() - begin
    state, metrics = call(state, batches[0])
    jax.block_until_ready(state)
    start = time.perf_counter()
    for stack in batches[1:]:
        state, metrics = call(state, stack)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - start
    total, tokens = metrics["loss"]
    return {
        "seconds": seconds,
        "loss": float(total) / float(tokens),
        "parameters": count,
        **memory.found(),
        "compile_seconds": compile_seconds,
        "tensorflow": "tensorflow" in sys.modules,
        "version": jax.__version__,
    }
