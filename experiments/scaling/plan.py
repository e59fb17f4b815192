"""`experiments.scaling --plan`: the cost of every run of a study, without training."""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from launch.chips import chips
from w2v_jax.errors import UserError, nearest
from w2v_jax.scaling import records
from w2v_jax.scaling.analysis import by_arm
from w2v_jax.scaling.study import Planned, Study, runs, shard
from w2v_jax.tables import aligned, duration

SHARE = 0.35  # of the peak, assumed for a training step
HERE = 0.3  # of the rate of a large float32 product, assumed for small models on this machine


class Speed(NamedTuple):
    """FLOPs per second of training, by arm where known."""

    usual: float
    why: str  # its source
    by_arm: Mapping[str, float] = {}

    def seconds(self, run: Planned) -> float:
        """Training time of a run."""
        return run.flops / self.by_arm.get(run.arm, self.usual)


def show(study: Study, part: tuple[int, int], workdir: Path, device: str | None, rate: float) -> int:
    """Prints the runs of shard (i, n) with their costs, and the totals; returns the exit status.

    `rate`, 0 if not stated, is in FLOPs per second; see `speed_of` for the others. UserError: an unknown device.
    """
    speed = speed_of(workdir, device, rate)
    every = runs(study, vocabulary(study), activations=True)
    mine = shard(every, *part)
    rows = [["run", "parameters", "without emb.", "tokens", "TFLOP", "state MiB", "activations MiB", "time"]]
    for run in mine:
        costs = run.ledger
        sizes = [f"{costs.parameters:,}", f"{costs.without_embeddings:,}", f"{run.tokens:,.0f}"]
        memory = [f"{size / 2**20:,.1f}" for size in (costs.state_bytes, costs.activation_bytes)]
        rows.append([run.name, *sizes, f"{run.flops / 1e12:,.4g}", *memory, duration(speed.seconds(run))])
    seconds = sum(map(speed.seconds, mine))
    flops, tokens = sum(run.flops for run in mine), sum(run.tokens for run in mine)
    rows.append([f"{len(mine)} runs", "", "", f"{tokens:,.0f}", f"{flops / 1e12:,.4g}", "", "", duration(seconds)])
    print(aligned(rows))
    if part[1] > 1:
        print(f"shard {part[0]} of {part[1]}; the study has {len(every)} runs")
    print(f"time: {speed.why}; compiling and scoring are not in it")
    print("activations: what one microbatch keeps for its gradient before the compiler saves any; an upper bound")
    return 0


def vocabulary(study: Study) -> int:
    """V as the study states it, else that of its text, which is read (and tokenised where it was not yet)."""
    if study.vocabulary:
        return study.vocabulary
    from w2v_jax.data.corpus import build_corpus

    return len(build_corpus(study.data, lambda line: print(line, file=sys.stderr)).vocab)


def speed_of(workdir: Path, device: str | None, rate: float) -> Speed:
    """The stated rate, a share of the stated device's peak, or the rate of the runs in workdir or of this machine."""
    if rate:
        return Speed(rate, f"{rate:.3g} FLOP/s, as stated by --rate")
    if device:
        match = re.fullmatch(r"(\w+?)(?::(\d+))?", device)
        name, count = (match[1], int(match[2] or 1)) if match else (device, 0)
        peaks = {chip.name: chip.flops for chip in chips().values()}
        if name not in peaks or count < 1:
            known = f"{', '.join(peaks)}{nearest(name, peaks)}"
            raise UserError(f"--device={device}: must be one of {known}, with a number as in v5e:64; or state --rate")
        why = f"{SHARE:.0%} of {count} x {name}'s stated {peaks[name]:.3g} FLOP/s in bfloat16"
        return Speed(SHARE * peaks[name] * count, why)
    here = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    made = [r for r in records.read(sorted(workdir.glob("results*.jsonl"))) if r.seconds and r.device == here]
    if made:
        rates = {arm: [r.training_flops / (r.seconds or 1.0) for r in own] for arm, own in by_arm(made).items()}
        usual = statistics.median(x for own in rates.values() for x in own)
        why = f"measured: the {len(made)} runs in the study's folder, by arm"
        return Speed(usual, why, {arm: statistics.median(own) for arm, own in rates.items()})
    rate = product_rate()
    return Speed(HERE * rate, f"{HERE:.0%} of this device's {rate:.3g} FLOP/s in a float32 product")


def product_rate(size: int = 1024, seconds: float = 0.3) -> float:
    """FLOPs per second of a float32 product of two square matrices on the first device."""
    x = jnp.ones((size, size), jnp.float32)
    product = jax.jit(jnp.dot)
    product(x, x).block_until_ready()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        product(x, x).block_until_ready()
        count += 1
    return 2.0 * size**3 * count / (time.perf_counter() - began)
