"""Model FLOPs utilisation of training: what share of a device's arithmetic a whole step puts into the model.

    python -m benchmarks.mfu [--batch=32] [--peak_tflops=989] [--out=results/mfu.json]

    MFU = (6 P + 6 T D L) x tokens/s / peak

with P the weights that take part in products, the head's included, T the length, D the width, L the layers: every
product forward and twice backward, attention by its half below the diagonal, and nothing for what is computed again
(Chowdhery et al. 2022, arXiv 2204.02311, appendix B). The model is of GPT-2 small's size, 12 layers of 768 with 12
heads, vocabulary 50,257, length 1,024, in bfloat16; the step is that of `experiments.train` with AdamW, fed arrays that
are there, on the first device of whatever kind. 989 TFLOP/s is the peak of an H100 or H200 in dense bfloat16.
Prints one line and its figures as JSON.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.common import cli
from experiments.common.machine import accelerators, machine
from experiments.common.measuring import Ready, parameters, ready, stacks
from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.files import write_json
from w2v_jax.models import transformer
from w2v_jax.models.transformer import TransformerConfig

MODEL = TransformerConfig(layers=12, dim=768, heads=12, length=1024, dtype="bfloat16", head_chunk=4096)
VOCABULARY = 50_257
FROM_MODEL = ("layers", "dim", "heads", "length", "dtype", "loop", "remat", "head_chunk")


def define_flags() -> None:
    """A call, not an import, defines the flags."""
    for name in ("layers", "dim", "heads", "length", "head_chunk"):
        flags.DEFINE_integer(name, getattr(MODEL, name), f"model.{name}.", lower_bound=1)
    flags.DEFINE_enum("dtype", MODEL.dtype, ["float32", "bfloat16"], "Of what is computed.")
    flags.DEFINE_enum("loop", MODEL.loop, ["auto", "scan", "unrolled"], "Over the layers.")
    flags.DEFINE_bool("remat", MODEL.remat, "Compute the inside of a layer again for its gradient.")
    flags.DEFINE_integer("vocabulary", VOCABULARY, "Tokens.", lower_bound=2)
    flags.DEFINE_integer("batch", 32, "Texts of a step.", lower_bound=1)
    flags.DEFINE_integer("accumulate", 1, "Microbatches of a step.", lower_bound=1)
    flags.DEFINE_integer("steps", 8, "Steps of one call to the device.", lower_bound=1)
    flags.DEFINE_integer("calls", 5, "Timed calls, after one to warm up.", lower_bound=1)
    flags.DEFINE_float("peak_tflops", 989.0, "The device's peak in this dtype, 1e12 operations a second.")
    flags.DEFINE_string("out", None, "JSON file of the figures.")


def config_of(model: TransformerConfig, batch: int, accumulate: int, steps: int) -> Config:
    """AdamW at a constant rate, on one device."""
    optimizer = OptimizerConfig(dense="adamw", learning_rate=3e-4, schedule="constant", weight_decay=0.1)
    train = TrainConfig(batch_size=batch, steps_per_call=steps, accumulate=accumulate)
    return Config("transformer", model, train=train, optimizer=optimizer, mesh=MeshConfig(data=1))


def time_calls(run: Ready, config: Config, vocabulary: int, calls: int) -> tuple[list[float], float]:
    """(seconds of each call, mean nats of the last), one warm call before them."""
    shape = (config.train.steps_per_call, config.train.batch_size, config.model.length + 1)
    text = np.random.default_rng(0).integers(0, vocabulary, shape, np.int32)
    (batches,) = stacks(text[..., :-1], text[..., 1:], shape[0])
    state, metrics = run.call(run.state, batches)
    jax.block_until_ready(state)
    seconds = []
    for _ in range(calls):
        begin = time.perf_counter()
        state, metrics = run.call(state, batches)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - begin)
    return seconds, float(metrics["loss"][0]) / float(metrics["loss"][1])


def utilisation(config: Config, vocabulary: int, calls: int, peak_tflops: float) -> dict[str, Any]:
    """Measures and computes MFU above from the median of the calls."""
    cfg = transformer.FAMILY.resolve(config.model, vocabulary)
    begin = time.perf_counter()
    run = ready(config, vocabulary)
    count, compile_seconds = parameters(run.state.params), time.perf_counter() - begin
    seconds, loss = time_calls(run, config, vocabulary, calls)
    tokens = config.train.steps_per_call * config.train.batch_size * cfg.length
    rates = [tokens / s for s in seconds]
    rate, flops = statistics.median(rates), transformer.FAMILY.flops(cfg)[0]
    memory = jax.devices()[0].memory_stats() or {}
    return {
        "mfu": flops * rate / (peak_tflops * 1e12),
        "tflops": flops * rate / 1e12,
        "peak_tflops": peak_tflops,
        "tokens_per_second": rate,
        "rates": rates,
        "flops_per_token": flops,
        "parameters": count,
        "loss": loss,
        "compile_seconds": compile_seconds,
        "peak_memory_gib": memory.get("peak_bytes_in_use", 0) / 2**30,
    }


def main(argv: Sequence[str]) -> int:
    """Measures, prints, writes."""
    given = flags.FLAGS
    if not given.peak_tflops > 0:
        raise UserError(f"--peak_tflops={given.peak_tflops:g}: must be above 0")
    if given.batch % given.accumulate:
        raise UserError(f"--accumulate={given.accumulate}: does not divide --batch={given.batch}")
    chosen: dict[str, Any] = {name: given[name].value for name in FROM_MODEL}
    config = config_of(TransformerConfig(**chosen), given.batch, given.accumulate, given.steps)
    sizes = chosen | {name: given[name].value for name in ("vocabulary", "batch", "accumulate", "steps", "calls")}
    found = utilisation(config, given.vocabulary, given.calls, given.peak_tflops)
    found = {"sizes": sizes, **found, "device": accelerators(), "machine": machine()}
    rates = found["rates"]
    print(
        f"{found['mfu']:.1%} of {given.peak_tflops:g} TFLOP/s: {found['tflops']:,.3g} TFLOP/s in the model, "
        f"{found['tokens_per_second']:,.0f} tokens/s (calls: {min(rates):,.0f} to {max(rates):,.0f}); "
        f"{found['parameters']:,} parameters, peak memory {found['peak_memory_gib']:.1f} GiB, loss {found['loss']:.3f}"
    )
    print(json.dumps(found))
    if given.out:
        out = Path(given.out)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, found)
    return 0


if __name__ == "__main__":
    define_flags()
    cli.run(main)
