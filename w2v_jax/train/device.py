"""Arrays between the host and the devices of a mesh, on every process of a run."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from w2v_jax.train.sharding import batch_sharding, replicated
from w2v_jax.types import HostBatch


def place(mesh: Mesh, value: Any) -> jax.Array:
    """The same array, or numpy scalar, on every device of every process."""
    value = np.asarray(value)
    return _put(replicated(mesh), value, value.shape)


def _put(sharding: NamedSharding, value: np.ndarray, shape: tuple[int, ...] | None = None) -> jax.Array:
    with jax.transfer_guard("allow"):  # this transfer is intended; JAX counts some of its own as implicit
        return jax.make_array_from_process_local_data(sharding, value, shape)


def fetch(mesh: Mesh, array: jax.Array) -> np.ndarray:
    """An array under any sharding -> numpy on every process."""
    whole = jax.jit(lambda x: x, out_shardings=replicated(mesh))(array)
    return np.asarray(whole.addressable_data(0))


def send(mesh: Mesh, batches: HostBatch) -> dict[str, jax.Array]:
    """This process's part of stacked batches -> global arrays, without waiting for the copy."""
    sharding = batch_sharding(mesh)
    return {k: _put(sharding, v) for k, v in batches.items()}


def send_flag(mesh: Mesh, flag: int) -> jax.Array:
    """This process's number on each of its devices, int32 [devices]."""
    sharding = NamedSharding(mesh, PartitionSpec(("data", "model")))
    value = np.full(len(mesh.local_devices), flag, np.int32)
    return _put(sharding, value, (mesh.size,))


def threads(mesh: Mesh) -> int:
    """Threads that XLA computes with on CPUs, 0 elsewhere. It splits some sums by their number, which changes the
    order of additions and so the last bits: $NPROC, else the CPUs that this process may use; one a device at least."""
    if mesh.devices.flat[0].platform != "cpu":
        return 0
    given = os.environ.get("NPROC", "")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(given) if given.isdigit() else usable, jax.local_device_count())


def here(tree: Any) -> Any:
    """Shapes and dtypes of a tree of arrays; a leaf without a sharding is placed on this process's first device."""
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", first)), tree)


@jax.jit
def _finite(leaves: list[jax.Array]) -> jax.Array:
    return jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()


def all_finite(tree: Any) -> bool:
    """Whether no floating-point number in a tree of arrays is infinite or NaN."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return not leaves or bool(_finite(leaves))
