"""Files, time and processes of the agent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

TYPE_CHECKING = False  # that of typing, which takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HOME = os.path.expanduser("~")
ROOT = os.path.join(HOME, "w2v_jax")
SPEC = os.path.join(HOME, "w2v_jax_run.json")
SOURCE = os.path.join(HOME, "w2v_jax_source.tar.gz")
INSTALLED = os.path.join(ROOT, "installed.json")
LOG, INSTALL_LOG = os.path.join(ROOT, "run.log"), os.path.join(ROOT, "install.log")
STATE, EXIT, GUARD, LAUNCH = (os.path.join(ROOT, f"{name}.json") for name in ("run", "exit", "guard", "launch"))
LOCKFILE = os.environ.get("W2V_JAX_AGENT_LOCK", "/tmp/libtpu_lockfile")
CLOCK = os.environ.get("W2V_JAX_AGENT_CLOCK", "")  # a file with the time in seconds: for tests, whose hours are short
TICK_S, GRACE_S = (0.05, 2.0) if CLOCK else (2.0, 120.0)  # a run saves between SIGTERM and, after GRACE_S, SIGKILL


def now() -> float:
    """Seconds: of the system, or of the test that gave a clock."""
    if CLOCK:
        with contextlib.suppress(OSError, ValueError), open(CLOCK) as f:
            return float(f.read())
    return time.time()


def read(path: str) -> dict[str, Any]:
    """A JSON file; {} when there is none, or half of one."""
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as f:
        found: dict[str, Any] = json.load(f)
        return found
    return {}


def write(path: str, value: dict[str, Any]) -> None:
    part = f"{path}.{os.getpid()}.part"
    with open(part, "w", encoding="utf-8") as f:
        json.dump(value, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, path)


def started(pid: int) -> str:
    """When a process began, as the system counts it; empty when there is none. A pid alone may be another's by now."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""


def alive(mark: dict[str, Any]) -> bool:
    return bool(mark.get("pid")) and started(mark["pid"]) == mark.get("started")


def mark() -> dict[str, Any]:
    return {"pid": os.getpid(), "started": started(os.getpid())}


def detach(work: Callable[[], object]) -> None:
    """Runs `work()` in a process of its own session, which keeps no stream of ours open."""
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    try:
        work()
    finally:
        os._exit(0)


def send(group: int, number: int) -> bool:
    """A signal (0: none) to a process group; False when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False
