"""Cheap lives: a process that has imported everything heavy, but started no device, forks one child for each.

A child runs commands as `python -m MODULE` would. What a real process does before its command begins (starting Python,
imports) is not part of a life.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from benchmarks.faults import inject

# Imported before the first fork. TensorFlow reads the text of language models and takes seconds to import.
HEAVY = (
    *("jax", "jax.numpy", "orbax.checkpoint", "optax", "tensorflow", "tensorboard.compat.proto.event_pb2"),
    *("w2v_jax.train.loop", "w2v_jax.train.restore", "w2v_jax.evaluation", "w2v_jax.data.labelled_corpus"),
    *("experiments.common.language", "experiments.scaling.execute", "experiments.common.config_flag"),
)
# Children share one cache of compiled programs, and programs come out the same on one device.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "MPLBACKEND": "Agg",
}
PR_SET_PDEATHSIG = 1  # of Linux's prctl
IDLE, LONGEST = 30.0, 900.0  # a life hangs after so many seconds without work, or so many in all


class Job(NamedTuple):
    """One command in a folder; its output goes into files beside that folder."""

    place: Path
    module: str
    arguments: tuple[str, ...]

    def file(self, ending: str) -> Path:
        return self.place.with_name(f"{self.place.name}.{self.module.rpartition('.')[2]}.{ending}")


class Ending(NamedTuple):
    """How a command ended: `status` is 128 + n after signal n, as in a shell, and None where it hung."""

    status: int | None
    out: str
    err: str


class Life(NamedTuple):
    """A child that runs."""

    pid: int
    jobs: Sequence[Job]
    began: float

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def prepare() -> None:
    """Imports what is heavy. RuntimeError: an import started a device or a thread, after which no fork is safe."""
    for name in HEAVY:
        importlib.import_module(name)
    from jax._src import xla_bridge

    if xla_bridge._backends or threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("an import has started a device or threads: children would hang")
    gc.set_threshold(100_000, 20, 50)
    gc.freeze()


def begin(jobs: Sequence[Job], arm: inject.Arm | None = None) -> Life:
    """Starts a child that runs the jobs one after another."""
    sys.stdout.flush()
    sys.stderr.flush()
    for job in jobs:
        job.file("status").unlink(missing_ok=True)
        for ending in ("out", "err"):
            job.file(ending).write_bytes(b"")
    pid = os.fork()
    if pid:
        return Life(pid, jobs, time.monotonic())
    try:
        _live(jobs, arm)
    finally:
        os._exit(70)


def _live(jobs: Sequence[Job], arm: inject.Arm | None) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no child outlives the campaign
    status = 0
    for job in jobs:
        _forget_flags()
        os.chdir(job.place)
        for number, ending in ((1, "out"), (2, "err")):
            file = os.open(job.file(ending), os.O_WRONLY | os.O_APPEND)
            os.dup2(file, number)
            os.close(file)
        if arm is not None:
            inject.arm(arm)
        status = _run(job)
        sys.stdout.flush()
        sys.stderr.flush()
        if job is not jobs[-1]:
            job.file("status").write_text(str(status))
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does at its end
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(status)


def _run(job: Job) -> int:
    sys.argv = [job.module, *job.arguments]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        runpy.run_module(job.module, run_name="__main__")
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _forget_flags() -> None:
    """A command defines its flags anew."""
    for name in list(flags.FLAGS):
        module = str(flags.FLAGS.find_module_defining_flag(name, "experiments"))
        if module.startswith(("experiments", "launch", "benchmarks", "__main__")) or module.endswith(".py"):
            delattr(flags.FLAGS, name)


def ended(life: Life, until: float) -> int | None:
    """The status of the child once it has ended, waiting until that moment (of time.monotonic); None: it runs on."""
    while True:
        pid, status = os.waitpid(life.pid, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if time.monotonic() >= until:
            return None
        time.sleep(0.004)


def worked(life: Life) -> float:
    """Processor seconds of a child so far, all threads: a clock that a busy machine does not bend. Linux only."""
    try:
        fields = Path(f"/proc/{life.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return time.monotonic() - life.began


def at_work(life: Life, seconds: float) -> int | None:
    """Waits until the child has worked so long; its status if it ended before, else None."""
    deadline = time.monotonic() + LONGEST
    while worked(life) < seconds and time.monotonic() < deadline:
        status = ended(life, time.monotonic() + 0.004)
        if status is not None:
            return status
    return None


def finish(life: Life, idle: float = IDLE) -> list[Ending]:
    """Waits for the end of the child and returns how each job ended. A child that does nothing for `idle` seconds, or
    does not end in LONGEST, is killed: it hangs, and so do the jobs it has not begun."""
    begun = since = time.monotonic()
    done, status = 0.0, None
    while status is None and time.monotonic() < min(since + idle, begun + LONGEST):
        status = ended(life, time.monotonic() + 0.2)
        if worked(life) > done + 0.05:
            done, since = worked(life), time.monotonic()
    if status is None:
        life.signal(signal.SIGKILL)
        ended(life, time.monotonic() + 60)
    return endings(life, status)


def endings(life: Life, status: int | None) -> list[Ending]:
    """How each job ended, after the child ended with a status."""
    found = []
    for job in life.jobs:
        own = job.file("status")
        code = int(own.read_text()) if own.exists() else status
        found.append(Ending(code, *(job.file(e).read_text(errors="replace") for e in ("out", "err"))))
        if not own.exists():  # the one at which the child ended
            status = None
    return found


def run(place: Path, module: str, arguments: Sequence[str], arm: inject.Arm | None = None) -> Ending:
    """One command in a child of its own, to its end."""
    return finish(begin([Job(place, module, tuple(arguments))], arm))[0]
