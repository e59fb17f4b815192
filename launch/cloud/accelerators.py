"""Cloud TPU slices: chips and hosts of an accelerator type, its machine image, and its names in GKE.

Sizes follow https://cloud.google.com/tpu/docs/v5e, /v5p, /v6e, /v4 and https://cloud.google.com/tpu/docs/runtimes: v4
and v5p types count cores, two a chip; v5e and v6e types count chips.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from w2v_jax.errors import UserError, nearest

_HOST_CHIPS = 4  # of a host of a slice with several hosts
_CUBE = 64  # chips of a cube of 4x4x4


class Slice(NamedTuple):
    """One slice: `accelerator` as gcloud writes it."""

    accelerator: str
    generation: str  # as in the table of prices: v4, v5e, v5p, v6e
    chips: int
    hosts: int
    image: str  # the machine image that Cloud TPU documents for it
    gke: str  # the value of cloud.google.com/gke-tpu-accelerator
    topology: str  # as GKE writes it, e.g. 4x4; empty where a type names no single one

    @property
    def chips_per_host(self) -> int:
        return self.chips // self.hosts


class _Kind(NamedTuple):
    generation: str
    cores_per_chip: int
    single_host: tuple[int, ...]  # chips of the sizes that are one host
    image: str
    gke: str
    gke_single: str  # of one host, where it has another name
    topologies: dict[int, str]  # by chips


_FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
_CUBES = {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8", 512: "8x8x8"}
_KINDS = {
    "v4": _Kind("v4", 2, (4,), "tpu-ubuntu2204-base", "tpu-v4-podslice", "", _CUBES),
    "v5litepod": _Kind("v5e", 1, (1, 4, 8), "v2-alpha-tpuv5-lite", "tpu-v5-lite-podslice", "", _FLAT),
    "v5p": _Kind("v5p", 2, (4,), "v2-alpha-tpuv5", "tpu-v5p-slice", "", _CUBES),
    "v6e": _Kind("v6e", 1, (1, 4, 8), "v2-alpha-tpuv6e", "tpu-v6e-slice", "", _FLAT),
}


def slice_of(accelerator: str) -> Slice:
    """The slice of a type such as v5litepod-16. UserError: an unknown type, or a size that no such slice has."""
    match = re.fullmatch(r"([a-z0-9]+)-([1-9][0-9]{0,4})", accelerator)
    if not match or match[1] not in _KINDS:
        known = [f"{name}-16" for name in _KINDS]
        hint = " (v5e is written v5litepod)" if accelerator.startswith("v5e") else nearest(accelerator, known)
        raise UserError(f"--accelerator={accelerator!r}: must be TYPE-SIZE with TYPE {', '.join(_KINDS)}{hint}")
    kind = _KINDS[match[1]]
    chips = int(match[2]) // kind.cores_per_chip
    whole = int(match[2]) == chips * kind.cores_per_chip
    cubes = kind.topologies is _CUBES  # larger slices are whole cubes side by side, of which a type names no shape
    if not whole or not (chips in kind.topologies or (cubes and chips % _CUBE == 0)):
        sizes = ", ".join(str(n * kind.cores_per_chip) for n in sorted(kind.topologies))
        more = f", and multiples of {_CUBE * kind.cores_per_chip}" if cubes else ""
        raise UserError(f"--accelerator={accelerator!r}: {match[1]} has no slice of that size; sizes: {sizes}{more}")
    hosts = 1 if chips in kind.single_host else chips // _HOST_CHIPS
    return Slice(accelerator, kind.generation, chips, hosts, kind.image, kind.gke, kind.topologies.get(chips, ""))


def images() -> dict[str, str]:
    """Generation -> its machine image."""
    return {kind.generation: kind.image for kind in _KINDS.values()}
