"""A small training state under any layout of devices."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

ROWS, DIM = 512, 64


class Moments(NamedTuple):
    sums: Any
    nothing: tuple[()]


def mesh(devices: int, model: int = 1) -> Mesh:
    shape = (devices // model, model)
    return jax.make_mesh(shape, ("data", "model"), (AxisType.Auto,) * 2, devices=jax.devices()[:devices])


def shardings(on: Mesh) -> Any:
    """Tables split over rows, the rest on every device."""
    table, whole = NamedSharding(on, P("model")), NamedSharding(on, P())
    params = {"E": table, "scale": whole}
    return {"params": params, "optimizer": Moments({"E": table}, ()), "carry": {}, "rng": whole, "step": whole}


def state(seed: int, on: Mesh) -> Any:
    rng = np.random.default_rng(seed)
    tree = {
        "params": {
            "E": rng.standard_normal((ROWS, DIM)).astype(np.float32),
            "scale": rng.standard_normal(7).astype(jnp.bfloat16),
        },
        "optimizer": Moments({"E": rng.random(ROWS, dtype=np.float32)}, ()),
        "carry": {},
        "rng": np.asarray(jax.random.key_data(jax.random.key(seed))),
        "step": np.int32(seed),
    }
    return jax.tree.map(jax.device_put, tree, shardings(on))


def target(on: Mesh, rows: int = ROWS) -> Any:
    like = state(0, mesh(1))
    if rows != ROWS:
        like["params"]["E"] = jax.ShapeDtypeStruct((rows, DIM), jnp.float32)
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), like, shardings(on))


def same(a: Any, b: Any) -> bool:
    paths = [[path for path, _ in jax.tree_util.tree_flatten_with_path(x)[0]] for x in (a, b)]
    if paths[0] != paths[1]:
        return False
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(x.dtype == y.dtype and np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)
