"""Functions of tiles of documents on several devices, with the same bits on 1, 2, 4 and 8 of them.

A batch has `TILES` tiles (`w2v_jax.data.bags`), which the devices share. Sums over tiles are for the caller to make,
tile after tile on every device, or of whole numbers, so that no order of additions depends on the devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

TILES = 8  # of a batch; the devices that take part divide it


def mesh_of(devices: Sequence[Any]) -> Mesh:
    """The first devices, as many as divide `TILES`, on one axis."""
    count = max(n for n in range(1, min(len(devices), TILES) + 1) if TILES % n == 0)
    return Mesh(np.asarray(devices[:count]), ("data",))


def whole(mesh: Mesh, tree: Any) -> Any:
    """The arrays on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, P()))


def tile_parts(mesh: Mesh, function: Callable[..., Any], split: int) -> Callable[..., Any]:
    """`function` of each tile. The first `split` arguments and all results have the tiles on axis 0."""

    def local(*args: Any) -> Any:
        return jax.lax.map(lambda tiles: function(*tiles, *args[split:]), args[:split])

    def call(*args: Any) -> Any:
        specs = (P("data"),) * split + (P(),) * (len(args) - split)
        found = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P("data"), check_vma=False)(*args)
        return jax.lax.with_sharding_constraint(found, NamedSharding(mesh, P()))

    return call
