"""What a step of a planned run needs at least, and whether the run fits on the devices: arithmetic from shapes alone.

    seconds of a step >= max(FLOPs / rate, 2 x bytes of the dense state on a device / rate of its memory, launch)

The dense state is read and written once. Tables with a row per word are left out of it, as a step may touch few of
their rows. What devices send one another is left out, too; `launch.preflight` compiles the program and counts both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from launch.chips import chip_of
from launch.flops import units
from launch.slices import AbsentGpu
from w2v_jax import memory
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.scaling.study import Planned
from w2v_jax.train.programs import check_rows
from w2v_jax.train.sharding import make_mesh

LAUNCH = {"cpu": 3e-4}  # seconds to start a step, assumed
LAUNCH_ELSEWHERE = 1e-4
FITS, PERHAPS, NO = "yes", "perhaps", "no"
SPARE = 1.5  # room for what compilers add: 1.31 times this count for the largest model of configs/scaling/pod.py


class Room(NamedTuple):
    """The devices of a plan."""

    devices: Sequence[Any]  # they may be absent
    memory: float  # bytes of one
    rate: float  # bytes a second of its memory; 0 where it is not known
    launch: float  # seconds

    def describe(self) -> str:
        """One line about `Cost`."""
        moved = f", reading and writing the dense state once at {self.rate:.3g} bytes/s (memory)" if self.rate else ""
        return (
            f"ms a step: the largest of its FLOPs at that rate (rate){moved}, and {1e3 * self.launch:g} ms to start it "
            "(launch), which is assumed; what devices send one another is not in it"
        )


class Cost(NamedTuple):
    """Of one run."""

    steps: float  # that are made for it
    seconds: float  # of a step, at least
    limit: str  # rate, memory or launch
    fits: str  # yes; perhaps: not with all activations and what a compiler adds; no

    @property
    def whole(self) -> float:
        """Seconds of the run, at least."""
        return self.steps * self.seconds


def room_of(name: str, count: int, hbm: float, rate: float) -> Room:
    """`count` devices that need not be here."""
    return Room([AbsentGpu(i, 0, name) for i in range(count)], hbm, rate, LAUNCH_ELSEWHERE)


def room_here() -> Room:
    """The devices of this machine; CPU devices share its memory."""
    devices = jax.devices()
    first, known = devices[0], chip_of(devices[0].device_kind)
    stated = None if first.platform == "cpu" else (first.memory_stats() or {}).get("bytes_limit")
    size = stated or (known.hbm if known else memory.of_machine() / jax.local_device_count())
    rate = known.hbm_rate if known else 0.0
    return Room(devices, float(size), rate, LAUNCH.get(first.platform, LAUNCH_ELSEWHERE))


def cost(run: Planned, vocabulary: int, room: Room, rate: float) -> Cost:
    """`rate`: FLOPs per second of all devices together."""
    spec, config, ledger = MODELS[run.config.family], run.config, run.ledger
    per_step = units(spec, spec.resolve(config.model, vocabulary), config.train.batch_size)
    model = max(1, config.mesh.model)
    try:
        mesh = make_mesh(config.mesh, room.devices)
        check_rows(spec, config, mesh)
        used = mesh.size
    except UserError:  # the mesh or the batch does not divide over the devices
        used = 0
    parts = max(1, used if config.mesh.fsdp else min(model, used))
    dense = ledger.without_embeddings / max(1, ledger.parameters)
    limits = {
        "rate": ledger.flops_per_token * per_step / rate,
        "memory": 2 * dense * ledger.state_bytes / parts / room.rate if room.rate else 0.0,
        "launch": room.launch,
    }
    limit = max(limits, key=lambda name: limits[name])
    # The gradient of a dense array has its size; a table may be updated by its rows.
    least = (ledger.state_bytes + 4 * ledger.without_embeddings) / parts
    most = least + 4 * (ledger.parameters - ledger.without_embeddings) / parts + ledger.activation_bytes / max(1, used)
    if config.mesh.fsdp and used > 1:  # the arrays of a step are gathered, and their gradients before they are split
        most += 2 * 4 * ledger.without_embeddings / min(model, used)
    fits = NO if not used or least > room.memory else PERHAPS if SPARE * most > room.memory else FITS
    return Cost((run.tokens - run.shared) / per_step, limits[limit], limit, fits)
