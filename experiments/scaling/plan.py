"""`experiments.scaling --plan`: what every run of a study costs, before any is made."""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from w2v_jax.errors import UserError, nearest
from w2v_jax.scaling import records
from w2v_jax.scaling.study import Planned, Study, runs, shard
from w2v_jax.tables import aligned, duration

# Peak of one chip in dense bfloat16 products, FLOPs a second, as its vendor states it.
PEAKS = {
    "v4": 275e12,
    "v5e": 197e12,
    "v5p": 459e12,
    "v6e": 918e12,
    "a100": 312e12,
    "h100": 989e12,
    "h200": 989e12,
}
SHARE = 0.35  # of the peak that a training step is taken to reach
HERE = 0.3  # of a large float32 product's rate, that small models are taken to reach on this machine


class Speed(NamedTuple):
    """How fast training goes, and how that is known."""

    of: Callable[[str], float]  # FLOPs a second of an arm
    why: str


def show(study: Study, part: tuple[int, int], workdir: Path, device: str | None, rate: float) -> int:
    """Prints every run of this shard with its costs, and their sums; returns the exit status.

    Args:
      study: to be made.
      part: (i, n) of --shard.
      workdir: of the study; runs that are recorded there give measured rates.
      device: such as v5e:64; None is this machine.
      rate: FLOPs a second of all devices together, 0 where it is not stated.

    Raises:
      UserError: an unknown device; a vocabulary that is not known without the text.
    """
    speed = speed_of(workdir, device, rate)
    every = runs(study, vocabulary(study))
    mine = shard(every, *part)
    rows = [["run", "parameters", "without emb.", "tokens", "TFLOP", "state MiB", "activations MiB", "time"]]
    rows += [[*_cells(run), duration(run.flops / speed.of(run.arm))] for run in mine]
    seconds = sum(run.flops / speed.of(run.arm) for run in mine)
    flops, tokens = sum(run.flops for run in mine), sum(run.tokens for run in mine)
    rows.append([f"{len(mine)} runs", "", "", f"{tokens:,.0f}", f"{flops / 1e12:,.4g}", "", "", duration(seconds)])
    print(aligned(rows))
    if part[1] > 1:
        print(f"shard {part[0]} of {part[1]}; the study has {len(every)} runs")
    print(f"time: {speed.why}; compiling and scoring are not in it")
    print("activations: what one microbatch keeps for its gradient before the compiler saves any; an upper bound")
    return 0


def vocabulary(study: Study) -> int:
    """V: what the study states, or its text holds (which is then read, and tokenised where that was not done)."""
    if study.vocabulary:
        return study.vocabulary
    from w2v_jax.data.corpus import build_corpus

    return len(build_corpus(study.data, lambda line: print(line, file=sys.stderr)).vocab)


def speed_of(workdir: Path, device: str | None, rate: float) -> Speed:
    """The stated rate, a share of a stated device's peak, that of runs recorded in the folder, or this machine's."""
    if rate:
        return Speed(lambda arm: rate, f"{rate:.3g} FLOP/s, as stated by --rate")
    if device:
        match = re.fullmatch(r"(\w+?)(?::(\d+))?", device)
        name, count = (match[1], int(match[2] or 1)) if match else (device, 0)
        if name not in PEAKS or count < 1:
            raise UserError(
                f"--device={device}: must be one of {', '.join(PEAKS)}{nearest(name, PEAKS)}, with a number as in "
                "v5e:64; or state --rate"
            )
        peak = PEAKS[name] * count
        return Speed(
            lambda arm: SHARE * peak, f"{SHARE:.0%} of {count} x {name}'s stated {PEAKS[name]:.3g} FLOP/s in bfloat16"
        )
    here = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    made = [r for r in records.read(sorted(workdir.glob("results*.jsonl"))) if r.seconds and r.device == here]
    if made:
        return _recorded(made)
    whole = HERE * product_rate()
    return Speed(lambda arm: whole, f"{HERE:.0%} of this device's {whole / HERE:.3g} FLOP/s in a float32 product")


def _recorded(made: list[records.Record]) -> Speed:
    by_arm: dict[str, list[float]] = {}
    for r in made:
        by_arm.setdefault(r.arm, []).append(r.training_flops / (r.seconds or 1.0))
    usual = statistics.median(x for rates in by_arm.values() for x in rates)
    medians = {arm: statistics.median(rates) for arm, rates in by_arm.items()}
    return Speed(lambda arm: medians.get(arm, usual), f"measured: the {len(made)} runs in the study's folder, by arm")


def product_rate(size: int = 1024, seconds: float = 0.3) -> float:
    """FLOPs a second of a float32 product of two square matrices on the first device."""
    x = jnp.ones((size, size), jnp.float32)
    product = jax.jit(jnp.dot)
    product(x, x).block_until_ready()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        product(x, x).block_until_ready()
        count += 1
    return 2.0 * size**3 * count / (time.perf_counter() - began)


def _cells(run: Planned) -> list[str]:
    costs = run.ledger
    sizes = [f"{costs.parameters:,}", f"{costs.without_embeddings:,}", f"{run.tokens:,.0f}", f"{run.flops / 1e12:,.4g}"]
    return [run.name, *sizes, f"{costs.state_bytes / 2**20:,.1f}", f"{costs.activation_bytes / 2**20:,.1f}"]
