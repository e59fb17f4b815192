"""`experiments.scaling --plan`: the cost of every run of a study, without training."""

from __future__ import annotations

import dataclasses
import re
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.scaling.step_cost import SPARE, Room, cost, room_here, room_of
from launch.chips import GIB, TYPES, Chip, chips
from w2v_jax.errors import UserError, nearest
from w2v_jax.models import MODELS
from w2v_jax.recorded import freeze
from w2v_jax.scaling import records
from w2v_jax.scaling.analysis import by_arm
from w2v_jax.scaling.study import Planned, Study, cost_of, runs, shard
from w2v_jax.tables import aligned, duration

SHARE = 0.35  # of the peak, assumed for a training step
MOST = 1 << 16  # devices of a plan
HEADER = ["run", "parameters", "without emb.", "tokens", "TFLOP", "state MiB", "activations MiB"]
HEADER += ["steps", "ms a step", "limit", "fits", "time"]
HERE = 0.3  # of the rate of a large float32 product, assumed for small models on this machine


class Speed(NamedTuple):
    """FLOPs per second of training, by arm where known."""

    usual: float
    why: str  # its source
    by_arm: Mapping[str, float] = {}

    def of(self, run: Planned) -> float:
        """The rate of a run's arm."""
        return self.by_arm.get(run.arm, self.usual)


def show(study: Study, part: tuple[int, int], workdir: Path, device: str | None, rate: float) -> int:
    """Prints the runs of shard (i, n) with their costs, and the totals; returns the exit status.

    `rate`, 0 if not stated, is in FLOPs per second; see `speed_of` for the others. UserError: an unknown device.
    """
    room = room_of_flag(device)
    words = vocabulary(study)
    every = runs(study, words, activations=True)
    speed = speed_of(every, workdir, device, rate)
    mine = shard(every, *part)
    costs = [cost(run, words, room, speed.of(run)) for run in mine]
    rows = [HEADER]
    for run, its in zip(mine, costs, strict=True):
        ledger = run.ledger
        sizes = [f"{ledger.parameters:,}", f"{ledger.without_embeddings:,}", f"{run.tokens:,.0f}"]
        memory = [f"{size / 2**20:,.1f}" for size in (ledger.state_bytes, ledger.activation_bytes)]
        step = [f"{its.steps:,.0f}", f"{1e3 * its.seconds:,.3g}", its.limit, its.fits]
        rows.append([run.name, *sizes, f"{run.made / 1e12:,.4g}", *memory, *step, duration(its.whole)])
    seconds, steps = sum(its.whole for its in costs), sum(its.steps for its in costs)
    flops, tokens = cost_of(mine), sum(run.tokens - run.shared for run in mine)
    total = ["", "", f"{tokens:,.0f}", f"{flops / 1e12:,.4g}", "", "", f"{steps:,.0f}", "", "", ""]
    rows.append([f"{len(mine)} runs", *total, duration(seconds)])
    print(aligned(rows))
    if part[1] > 1:
        print(f"shard {part[0]} of {part[1]}; the study has {len(every)} runs")
    if any(run.shared for run in mine):
        whole, read = sum(run.flops for run in mine), sum(run.tokens for run in mine)
        print(
            "TFLOP, steps and time are of what is trained: runs of schedule wsd begin where the next shorter decays "
            f"({flops / whole:.0%} of {whole / 1e12:,.4g} TFLOP, {tokens / read:.0%} of the tokens)"
        )
    print(f"time: {speed.why}; compiling and scoring are not in it")
    print(room.describe())
    print("activations: what one microbatch keeps for its gradient, on all devices; compilers drop some and add others")
    print(
        f"fits: state, gradients and activations on one of {len(room.devices)} devices of {room.memory / GIB:,.2f} "
        f"GiB, with {SPARE - 1:.0%} to spare; perhaps: not with that much to spare; no: state and gradients alone do "
        "not, or the mesh or the batch does not divide. launch.preflight compiles it"
    )
    return 0


def room_of_flag(device: str | None) -> Room:
    """The devices of --device, or those of this machine."""
    if not device:
        return room_here()
    chip, count = chips_of_flag(device)
    return room_of(chip.kind, count, chip.hbm, chip.hbm_rate)


def chips_of_flag(device: str) -> tuple[Chip, int]:
    """UserError: no such device."""
    match = re.fullmatch(r"(\w+?)(?::(\d+))?", device)
    name, count = (match[1], int(match[2] or 1)) if match else (device, 0)
    known = chips()
    name = TYPES.get(name, (name, 1))[0]  # v5litepod is the type of Cloud TPU that has v5e
    if name not in known or not 1 <= count <= MOST:
        names = f"{', '.join(known)}{nearest(name, known)}"
        raise UserError(f"--device={device}: must be one of {names}, with a number as in v5e:64")
    return known[name], count


def vocabulary(study: Study) -> int:
    """V as the study states it, else that of its text, which is read (and tokenised where it was not yet)."""
    if study.vocabulary:
        return study.vocabulary
    from w2v_jax.data.corpus import build_corpus

    return len(build_corpus(study.data, lambda line: print(line, file=sys.stderr)).vocab)


def speed_of(every: Sequence[Planned], workdir: Path, device: str | None, rate: float) -> Speed:
    """The stated rate, a share of the stated device's peak, the rate of the study's runs in workdir, or of this
    machine."""
    if rate:
        return Speed(rate, f"{rate:.3g} FLOP/s, as stated by --rate for every run")
    if device:
        chip, count = chips_of_flag(device)
        why = (
            f"{SHARE:.0%} of {count} x {chip.name}'s stated {chip.flops:.3g} FLOP/s in bfloat16, assumed for every run "
            "and not measured: small models reach less"
        )
        return Speed(SHARE * chip.flops * count, why)
    here = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    own = {run.name: run for run in every}
    made = [r for r in records.read(sorted(workdir.glob("results*.jsonl"))) if r.seconds and r.device == here]
    made = [r for r in made if r.run in own and _is(r, own[r.run])]
    if made:
        rates = {arm: [r.training_flops / (r.seconds or 1.0) for r in own] for arm, own in by_arm(made).items()}
        usual = statistics.median(x for own in rates.values() for x in own)
        why = f"measured: the {len(made)} runs in the study's folder, by arm"
        return Speed(usual, why, {arm: statistics.median(own) for arm, own in rates.items()})
    rate = product_rate()
    return Speed(HERE * rate, f"{HERE:.0%} of this device's {rate:.3g} FLOP/s in a float32 product, assumed")


def _is(made: records.Record, run: Planned) -> bool:
    """Whether this run was made: its passes follow from the text, which a plan does not read."""
    try:
        config = freeze(made.config, MODELS)
    except UserError:
        return False
    train = dataclasses.replace(config.train, passes=run.config.train.passes)
    return records.config_hash(dataclasses.replace(config, train=train)) == records.config_hash(run.config)


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
