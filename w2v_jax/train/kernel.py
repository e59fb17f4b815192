"""Whether a training step takes its gradients and its updates of rows from the kernels of `w2v_jax.nn.kernels`."""

from __future__ import annotations

import os
from typing import Any

from jax.sharding import Mesh

from w2v_jax.config import KERNELS, Config, check_choice
from w2v_jax.errors import UserError
from w2v_jax.family import Family
from w2v_jax.nn import kernels

VARIABLE = "W2V_JAX_KERNEL"  # in the place of train.kernel=auto


def refused(spec: Family, config: Config, cfg: Any, mesh: Mesh) -> str:
    """'' if the kernels can make the step; else why not."""
    platform = mesh.devices.flat[0].platform
    if spec.trained.direct(cfg) is None:
        return f"{config.family} has no kernels for this loss"
    if platform != "cpu":
        return f"the kernels are for CPUs, and this run is on a {platform}"
    if mesh.size > 1 and not config.mesh.per_device:
        return f"the kernels are for one device, or for mesh.per_device=True, and the mesh has {mesh.size}"
    if config.optimizer.rows != "adagrad":
        return f"optimizer.rows={config.optimizer.rows}: the kernels update rows by adagrad"
    why = kernels.missing()
    return f"the kernels cannot be compiled here ({why})" if why else ""


def native(spec: Family, config: Config, cfg: Any, mesh: Mesh) -> tuple[bool, str]:
    """(whether the step is made by kernels, a line for the user if they were to be tried and cannot be compiled).

    UserError: train.kernel=native, and they cannot make the step.
    """
    choice = config.train.kernel
    if choice == "auto" and os.environ.get(VARIABLE):
        choice = os.environ[VARIABLE]
        check_choice(VARIABLE, choice, KERNELS)
    if choice == "jax":
        return False, ""
    why = refused(spec, config, cfg, mesh)
    if why and choice == "native":
        raise UserError(f"train.kernel=native: {why}; use auto or jax")
    return not why, f"warning: {why}; XLA's programs train in their place, more slowly" if "compiled" in why else ""
