"""Slices of TPUs and machines of GPUs that need not be there: their devices, and the rate of their networks."""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib.util
import math
import os
import re
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax

from launch.chips import TYPES, Chip, accelerator, chip, chip_of
from launch.distributed import managed
from w2v_jax.errors import UserError

PER_MACHINE = 8  # GPUs that one switch joins
_SQUARES = {1: (1, 1), 4: (2, 2), 8: (2, 4), 16: (4, 4), 32: (4, 8), 64: (8, 8), 128: (8, 16), 256: (16, 16)}


@dataclasses.dataclass(frozen=True)
class AbsentGpu:
    """A GPU by its number; what `make_mesh` and shardings ask of a device."""

    id: int
    process_index: int
    device_kind: str
    platform: str = "gpu"


class Slice(NamedTuple):
    """Chips that are joined by one network."""

    name: str
    chip: Chip
    devices: list[Any]

    @property
    def compiles(self) -> bool:
        """Whether programs can be compiled for it here."""
        return not isinstance(self.devices[0], AbsentGpu)

    def rate(self, members: Sequence[Any]) -> float:
        """Bytes a second that a device can receive from the others of a group of devices.

        On a torus each axis along which the group extends has a link from one side, and from both where the axis of the
        slice is closed to a ring. GPUs of one machine receive through the switch, of several through their own network
        card.
        """
        if not self.chip.tpu:
            machines = {d.process_index for d in members}
            return self.chip.link_rate if len(machines) == 1 else self.chip.dcn_rate
        spans = [sorted({d.coords[i] for d in members}) for i in range(3)]
        lengths = [1 + max(d.coords[i] for d in self.devices) for i in range(3)]
        links = [2 if closed(self.chip, length) else 1 for length, seen in zip(lengths, spans, strict=True) if seen[1:]]
        return self.chip.link_rate * max(1, sum(links))


def closed(chip: Chip, length: int) -> bool:
    """Whether an axis of a slice is a ring. Of v5e and v6e only a whole side of a pod is, of v4 and v5p each multiple
    of 4 chips."""
    return length == chip.ring_from if chip.links == 2 else length % chip.ring_from == 0


def without_tpu() -> None:
    """Keeps JAX and libtpu from looking for a TPU on a machine that has none."""
    if managed() != "Cloud TPU":
        jax.config.update("jax_platforms", "cpu")
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
        os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
        os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # there is no chip that two processes could share
        # Machine code that nothing runs need not be good. Operations, their schedule and memory are settled before
        # instructions are packed into words, which can take most of the time.
        os.environ.setdefault("LIBTPU_INIT_ARGS", "--xla_jf_naive_bundle_packer=true")


def topology(name: str) -> str:
    """`v5e:4x4` of a name such as v5e:4x4, v5e-16, v5litepod-16 or v5p-128. UserError: no such size.

    A slice of v4 or v5p of more than 16 chips is as near to a cube as its number allows; its sides are multiples of 4.
    """
    if ":" in name or name.partition("-")[0] not in TYPES:
        return name
    kind, count = accelerator(name)
    if kind.links == 2:
        if count not in _SQUARES:
            raise UserError(f"{name}: {kind.name} has slices of {', '.join(map(str, _SQUARES))} chips")
        return f"{kind.name}:{'x'.join(map(str, _SQUARES[count]))}"
    small = {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4"}
    if count in small:
        return f"{kind.name}:{small[count]}"
    sides = [
        (a, b, count // (a * b))
        for a in range(4, count + 1, 4)
        for b in range(a, count // a + 1, 4)
        if count % (a * b) == 0 and count // (a * b) >= b and (count // (a * b)) % 4 == 0
    ]
    if not sides:
        raise UserError(f"{name}: {count} chips are no slice whose sides are multiples of 4")
    return f"{kind.name}:{'x'.join(map(str, min(sides, key=sum)))}"


def check_libtpu(name: str) -> None:
    """UserError: libtpu is not installed, or is not the one that the installed jax names as its own."""
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(f"--topology={name}: needs libtpu: pip install -e '.[tpu]'")
    wanted = [m[1] for r in metadata.requires("jax") or () if (m := re.match(r"libtpu==([\w.*]+)", r))]
    found = metadata.version("libtpu")
    if wanted and not fnmatch.fnmatch(found, wanted[0]):
        raise UserError(
            f"--topology={name}: libtpu {found} does not belong to jax {jax.__version__}, which wants {wanted[0]}:"
            f" pip install 'libtpu=={wanted[0]}'"
        )


def topology_devices(name: str) -> list[Any]:
    """Descriptions of the TPU devices of a topology such as `v5e:2x4`. UserError: no libtpu, or no such topology."""
    given, name = name, topology(name)
    if not re.fullmatch(r"\w+:\d+(x\d+)+", name) or name.partition(":")[0] not in {kind for kind, _ in TYPES.values()}:
        gpu = f"; of GPUs write gpu:{given}" if re.fullmatch(r"\d+x\w+", given) else ""
        raise UserError(f"--topology={given}: must be a slice such as v5e:4x4, v5e-16 or v5p-128{gpu}")
    check_libtpu(given)
    from jax.experimental import topologies

    # Without it a chip of v4 counts as two devices with half of its memory each.
    options = {"chip_config_name": "megacore"} if name.startswith("v4:") else {}
    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=name, **options).devices)
    except Exception as e:
        raise UserError(f"--topology={name}: {' '.join(str(e).split())[:200]}") from None


def slice_of(name: str) -> Slice:
    """The slice of a name: `v5e:4x4`, v5e-16, v5p-128 or, for arithmetic alone, `gpu:8xH200`. UserError: no such."""
    if name.startswith("gpu:"):
        match = re.fullmatch(r"gpu:([1-9]\d{0,4})x(\w+)", name)
        if match is None:
            raise UserError(f"--topology={name}: must be a number and a kind of GPU, such as gpu:8xH200")
        kind = chip(match[2].lower())
        if kind.tpu:
            raise UserError(f"--topology={name}: {kind.name} is a TPU: write its topology, such as {kind.name}:2x4")
        return Slice(name, kind, [AbsentGpu(i, i // PER_MACHINE, kind.kind) for i in range(int(match[1]))])
    devices = topology_devices(name)
    kind_of = chip_of(devices[0].device_kind)
    if kind_of is None:
        raise UserError(f"--topology={name}: launch/chips.tsv has no {devices[0].device_kind}; add its figures there")
    return Slice(topology(name), kind_of, devices)


def price(where: Slice, hours: float, spot: bool = False) -> float:
    """US dollars for the slice for some hours; nan where the price is not known."""
    return math.prod((len(where.devices), hours, where.chip.price(spot)))
