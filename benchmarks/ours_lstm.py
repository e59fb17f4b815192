"""Our side of the LSTM benchmark: the training step of `experiments.train`, fed ready-made arrays.

    python -m benchmarks.ours_lstm --steps=24

Prints one JSON line. The model is `w2v_jax.models.recurrent_lm`; compilation and the first STACK steps are not timed.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.lstm_sides import DECAY, RATE, STACK, Memory, Sizes, arguments, lanes
from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.models.recurrent_lm import SPEC, RecurrentLMConfig
from w2v_jax.train.sharding import make_mesh
from w2v_jax.train.step import TrainState, init_state, make_call


def config_of(sizes: Sizes) -> Config:
    """The run that the benchmark is a piece of."""
    model = RecurrentLMConfig(
        cell="lstm", layers=sizes.layers, hidden=sizes.hidden, dim=sizes.hidden, length=sizes.length
    )
    optimizer = OptimizerConfig(
        dense="adamw", learning_rate=RATE, schedule="constant", weight_decay=DECAY, decay_embeddings=True
    )
    train = TrainConfig(batch_size=sizes.batch, steps_per_call=STACK)
    return Config("recurrent_lm", model, train=train, optimizer=optimizer, mesh=MeshConfig(data=1))


def compiled(sizes: Sizes, steps: int) -> tuple[TrainState, Any]:
    """(the state before the first step, the compiled call)."""
    config = config_of(sizes)
    cfg = SPEC.resolve(config.model, sizes.vocabulary)
    mesh = make_mesh(config.mesh)
    state = jax.jit(lambda: init_state(SPEC, config, cfg, {}, steps))()
    call = make_call(SPEC, config, cfg, steps, mesh, state, {})
    return state, call.lower(state, {}, stacks(sizes, STACK)[0], jnp.int32(STACK), jnp.zeros(1, jnp.int32)).compile()


def stacks(sizes: Sizes, steps: int) -> list[dict[str, jax.Array]]:
    """Batches of all steps on the device, STACK a call."""
    tokens, targets = lanes(sizes, steps)
    start, words = np.zeros((steps, sizes.batch), np.int32), np.full((steps, sizes.batch), sizes.length, np.int32)
    entries = {"tokens": tokens, "targets": targets, "start": start, "words": words}
    return [{k: jnp.asarray(v[i : i + STACK]) for k, v in entries.items()} for i in range(0, steps, STACK)]


def main() -> None:
    sizes, steps = arguments()
    memory, begin = Memory(), time.perf_counter()
    state, call = compiled(sizes, STACK + steps)
    batches, count, stop = stacks(sizes, STACK + steps), jnp.int32(STACK), jnp.zeros(1, jnp.int32)
    compile_seconds = time.perf_counter() - begin
    state, metrics, _ = call(state, {}, batches[0], count, stop)
    jax.block_until_ready(state)
    start = time.perf_counter()
    for stack in batches[1:]:
        state, metrics, _ = call(state, {}, stack, count, stop)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - start
    total, tokens = metrics["loss"]
    result = {
        "seconds": seconds,
        "loss": float(total) / float(tokens),
        "peak_mb": memory.peak_mb(),
        "baseline_mb": memory.baseline_mb,
        "compile_seconds": compile_seconds,
        "tensorflow": "tensorflow" in sys.modules,
        "version": jax.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
