"""Joins the processes of one run. Cloud TPU, Slurm and Open MPI need no arguments.

Elsewhere every process needs three variables, which `launch.local` sets for its own: `W2V_JAX_COORDINATOR` (host:port
of process 0), `W2V_JAX_PROCESSES` (their number) and `W2V_JAX_PROCESS_ID` (from 0).
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from w2v_jax.errors import UserError

COORDINATOR, PROCESSES, PROCESS_ID = "W2V_JAX_COORDINATOR", "W2V_JAX_PROCESSES", "W2V_JAX_PROCESS_ID"


class Place(NamedTuple):
    """One process of a run."""

    coordinator: str  # host:port of process 0
    processes: int
    process_id: int


def place(environ: Mapping[str, str] = os.environ) -> Place | None:
    """The three variables; None when none of them is set. UserError: some are missing, or a value is impossible."""
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
    """True on a machine with TPU chips, unless JAX_PLATFORMS leaves them out."""
    if "tpu" not in (environ.get("JAX_PLATFORMS") or "tpu").split(",") or importlib.util.find_spec("libtpu") is None:
        return False
    return Path("/dev/accel0").exists() or any(Path("/dev/vfio").glob("[0-9]*"))


def managed(environ: Mapping[str, str] = os.environ) -> str | None:
    """The system that started this process among others, and that JAX asks by itself; None for a lone process."""
    if _cloud_tpu(environ):
        return "Cloud TPU"
    # A shell inside a Slurm allocation has the job's variables too. Only srun sets a step of several tasks.
    for name, variable in (("Slurm", "SLURM_STEP_NUM_TASKS"), ("Open MPI", "OMPI_COMM_WORLD_SIZE")):
        if environ.get(variable, "1") != "1":
            return name
    return None


def check_port(here: Place) -> None:
    """UserError: process 0 cannot listen at the port of the coordinator. JAX would end in a segmentation fault."""
    port = int(here.coordinator.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a run before may linger
        try:
            probe.bind(("", port))
            probe.listen()
        except OSError as e:
            why = "is in use by another program" if e.errno == errno.EADDRINUSE else f"cannot be used ({e.strerror})"
            raise UserError(f"{COORDINATOR}={here.coordinator}: port {port} {why}; choose another") from None


def check_all_there(here: Place, timeout_s: float) -> None:
    """UserError, which names them: some processes of the run have not called within the time."""
    from launch.rollcall import missing_processes

    try:
        missing = missing_processes(here, timeout_s)
    except OSError as e:
        raise UserError(f"{here.coordinator}: process 0 cannot listen there ({e.strerror})") from None
    if missing:
        raise UserError(
            f"missing after {timeout_s:.0f} s: process {', '.join(map(str, missing))} of {here.processes}"
            f" (seen by process {here.process_id} at {here.coordinator}): check that it runs and can connect"
        )


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Signals end the process at once, as nothing is to be saved yet. A handler in Python would wait for JAX."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def initialize(timeout_s: int = 300) -> None:
    """Joins this process to its run. Call it before anything asks JAX for devices. A lone process is left as it is.

    UserError: the variables contradict one another, the coordinator's port is in use, processes are missing after
    `timeout_s` seconds (they are named), or the cluster cannot be joined. Where JAX asks the system by itself, it ends
    the process after that time, without their names.
    """
    here = place()
    if managed() is None if here is None else here.processes == 1:
        return
    import jax

    if jax.distributed.is_initialized():
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # read only by the CPU backend
    try:
        address, count, number = here or (None, None, None)  # JAX asks the system that `managed` names
        if here is not None and here.process_id == 0:
            check_port(here)
        with _interruptible():
            if here is not None:
                check_all_there(here, timeout_s)
            jax.distributed.initialize(address, count, number, initialization_timeout=timeout_s)
            # On CPUs a program from the cache of compiled programs may run its collectives in another order in each
            # process (jaxlib 0.10.2; a transformer was aborted with "collective mismatch" whenever the cache was warm).
            # Arrays of one size could even be summed with others. A fresh program keeps the order.
            if jax.default_backend() == "cpu":
                jax.config.update("jax_enable_compilation_cache", False)
    except (ValueError, RuntimeError) as e:
        where = here.coordinator if here else managed()
        raise UserError(f"cannot join the run's processes at {where}: {' '.join(str(e).split())}") from None
