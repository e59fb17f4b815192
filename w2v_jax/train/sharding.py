"""One mesh maker and one table of rules from logical axes to mesh axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from w2v_jax.config import MeshConfig
from w2v_jax.errors import UserError
from w2v_jax.train import world

# Logical axis -> mesh axis. To split a model in another way, change this table, not the model.
RULES: dict[str, str | None] = {
    "batch": "data",
    "vocab": "model",
    "embed": None,
    "mlp": "model",
    "heads": "model",
    "layers": None,  # parameters of all layers in one array
}
# Fully sharded data parallelism (Rajbhandari et al. 2020, arXiv 1910.02054, stage 3): a device gathers the rest of a
# parameter when it is needed, and gradients return summed and scattered.
FSDP_RULES = RULES | {"embed": "data"}


def make_mesh(cfg: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The (data, model) mesh over all devices, or the given ones. UserError: their number is not data x model."""
    devices = list(world.devices() if devices is None else devices)
    if len(devices) % cfg.model:
        raise UserError(f"mesh.model={cfg.model}: does not divide the {len(devices)} devices")
    data = cfg.data or len(devices) // cfg.model
    if data * cfg.model > len(devices):
        raise UserError(f"mesh.data={data} x mesh.model={cfg.model}: there are {len(devices)} devices")
    processes = len({device.process_index for device in devices})
    own = len(devices) // processes
    if processes > 1 and (data * cfg.model < len(devices) or own % cfg.model):
        raise UserError(
            f"mesh.data={data} x mesh.model={cfg.model}: with several processes all {len(devices)} devices must take "
            f"part, and mesh.model must divide the {own} of each process"
        )
    grid = np.asarray(devices[: data * cfg.model]).reshape(data, cfg.model)
    # Auto axes: under Explicit ones a plain gather table[ids] raises.
    return Mesh(grid, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def spec_of(axes: tuple[str | None, ...], fsdp: bool = False) -> PartitionSpec:
    """Mesh axes of one array from its logical axis names."""
    rules = FSDP_RULES if fsdp else RULES
    return PartitionSpec(*(rules[a] if a else None for a in axes))


def shard_tree(mesh: Mesh, axes: Any, fsdp: bool = False) -> Any:
    """NamedShardings for a tree whose leaves are tuples of logical axis names."""
    return jax.tree.map(lambda a: NamedSharding(mesh, spec_of(a, fsdp)), axes, is_leaf=lambda a: isinstance(a, tuple))


def check_divides(shardings: Any, shapes: Any) -> None:
    """Raises UserError where the devices along an axis do not divide an array."""
    for (path, leaf), sharding in zip(
        jax.tree_util.tree_flatten_with_path(shapes)[0], jax.tree.leaves(shardings), strict=True
    ):
        try:
            sharding.shard_shape(leaf.shape)
        except ValueError:
            name, mesh = jax.tree_util.keystr(path, simple=True, separator="."), sharding.mesh.shape
            raise UserError(
                f"mesh.data={mesh['data']} x mesh.model={mesh['model']}: cannot split {name} of shape {leaf.shape}; "
                "choose sizes of the model that the mesh divides, or another mesh"
            ) from None


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Of stacked batches [steps, batch axis, ...]: the batch axis is split over `data`."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))
