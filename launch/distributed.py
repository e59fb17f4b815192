"""Joins the processes of one run: argument-free on Cloud TPU, Slurm and Open MPI, three variables otherwise.

`launch.local` sets the variables for its processes; by hand they are, for every process of a run,
`W2V_JAX_COORDINATOR` (host:port of process 0), `W2V_JAX_PROCESSES` (how many) and `W2V_JAX_PROCESS_ID` (from 0).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from w2v_jax.errors import UserError

COORDINATOR, PROCESSES, PROCESS_ID = "W2V_JAX_COORDINATOR", "W2V_JAX_PROCESSES", "W2V_JAX_PROCESS_ID"


class Place(NamedTuple):
    """Where a process stands in its run."""

    coordinator: str  # host:port of process 0
    processes: int
    process_id: int


def place(environ: Mapping[str, str] = os.environ) -> Place | None:
    """What the three variables say; None when none of them is set.

    Raises:
      UserError: some are missing, or a value is impossible.
    """
    names = (COORDINATOR, PROCESSES, PROCESS_ID)
    given = [name for name in names if environ.get(name)]
    if not given:
        return None
    if len(given) < len(names):
        raise UserError(f"{', '.join(n for n in names if n not in given)} must be set too, beside {', '.join(given)}")
    host, _, port = environ[COORDINATOR].rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(f"{COORDINATOR}={environ[COORDINATOR]!r}: must be HOST:PORT")
    for name in (PROCESSES, PROCESS_ID):
        if not environ[name].isdigit():
            raise UserError(f"{name}={environ[name]!r}: must be a whole number")
    processes, process_id = int(environ[PROCESSES]), int(environ[PROCESS_ID])
    if process_id >= processes:
        raise UserError(f"{PROCESS_ID}={process_id}: must be below {PROCESSES}={processes}")
    return Place(environ[COORDINATOR], processes, process_id)


def _cloud_tpu(environ: Mapping[str, str]) -> bool:
    """True on a machine with TPU chips, unless JAX is told to leave them alone."""
    platforms = environ.get("JAX_PLATFORMS", "")
    if platforms and "tpu" not in platforms.split(","):
        return False
    if importlib.util.find_spec("libtpu") is None:
        return False
    return Path("/dev/accel0").exists() or any(Path("/dev/vfio").glob("[0-9]*"))


def managed(environ: Mapping[str, str] = os.environ) -> str | None:
    """The system that started this process among others and that JAX asks by itself; None for a process of its own."""
    if _cloud_tpu(environ):
        return "Cloud TPU"
    # A shell inside a Slurm allocation knows the job too; only what srun started has a step of several tasks.
    for name, variable in (("Slurm", "SLURM_STEP_NUM_TASKS"), ("Open MPI", "OMPI_COMM_WORLD_SIZE")):
        if environ.get(variable, "1") != "1":
            return name
    return None


def initialize(timeout_s: int = 300) -> None:
    """Joins this process to its run; call it before anything asks JAX for devices. Does nothing in a lone process.

    Args:
      timeout_s: seconds to wait for the other processes. JAX ends the process when they do not come;
        `python -m launch.preflight` names those that are missing.

    Raises:
      UserError: the variables contradict themselves, or the cluster cannot be joined.
    """
    here = place()
    if here is None and managed() is None:
        return
    if here is not None and here.processes == 1:
        return
    import jax

    if jax.distributed.is_initialized():
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # read only by the CPU backend
    try:
        if here is not None:
            jax.distributed.initialize(
                here.coordinator, here.processes, here.process_id, initialization_timeout=timeout_s
            )
        else:
            jax.distributed.initialize(initialization_timeout=timeout_s)
    except (ValueError, RuntimeError) as e:
        where = here.coordinator if here else managed()
        raise UserError(f"cannot join the run's processes at {where}: {' '.join(str(e).split())}") from None
