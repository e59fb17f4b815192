"""Several processes on this machine, joined as one run.

    python -m launch.local --processes=2 -- python -m experiments.train ...

Each process has `--devices` CPU devices. A prefix names the process that wrote a line of output. When one process
fails, the others are ended and its exit status is returned. Ctrl-C and SIGTERM are passed on; a second one kills.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import IO, Any

from absl import flags

from experiments.common import cli
from launch.distributed import COORDINATOR, PROCESS_ID, PROCESSES
from w2v_jax.errors import UserError

Child = subprocess.Popen[str]
_lines = threading.Lock()


def free_port() -> int:
    """A port of localhost that is free at the moment."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return int(s.getsockname()[1])


def _copy(source: IO[str], target: IO[str], prefix: str) -> None:
    for line in source:
        with _lines:
            target.write(f"{prefix}{line.rstrip()}\n")
            target.flush()


def _start(command: Sequence[str], process_id: int, processes: int, port: int, devices: int) -> Child:
    place = {COORDINATOR: f"localhost:{port}", PROCESSES: str(processes), PROCESS_ID: str(process_id)}
    chosen = {"JAX_NUM_CPU_DEVICES": str(devices), "PYTHONUNBUFFERED": "1"}
    environ = {"JAX_PLATFORMS": "cpu", **os.environ, **place, **chosen}
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # In a session of its own, so that a Ctrl-C of the terminal reaches the process once, through us.
    return subprocess.Popen(command, env=environ, text=True, errors="replace", start_new_session=True, **pipes)


def _signal(children: Sequence[Child], number: int) -> None:
    for child in children:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(child.pid, number)


def _wait(children: Sequence[Child], grace_s: float, seen: Sequence[int]) -> int:
    """Waits until all have ended. After the first failure the others have `grace_s` seconds from SIGTERM to SIGKILL.

    After a signal that was passed on (`seen`) they are already ending; a second SIGTERM could cut a save short.
    """
    status, deadline = 0, float("inf")
    while any(child.poll() is None for child in children):
        failed = next((i for i, child in enumerate(children) if child.poll()), None)
        if failed is not None and deadline == float("inf"):
            status, deadline = int(children[failed].returncode), time.monotonic() + grace_s
            if not seen:
                print(f"process {failed} failed (exit status {status}): ending the others", file=sys.stderr, flush=True)
                _signal(children, signal.SIGTERM)
        if time.monotonic() > deadline:
            _signal(children, signal.SIGKILL)
        time.sleep(0.05)
    return status or next((int(child.returncode) for child in children if child.returncode), 0)


def launch(command: Sequence[str], processes: int, devices: int = 1, grace_s: float = 30.0) -> int:
    """Runs `command` in `processes` joined processes. Returns 0, or the exit status of the first that failed: 128 + n
    where signal n ended it, as in a shell. UserError: the command cannot be started."""
    port = free_port()
    children: list[Child] = []
    seen: list[int] = []

    def passed_on(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        _signal(children, number if len(seen) == 1 else signal.SIGKILL)

    # Installed before the first process starts, so that none is ever left behind.
    previous = {number: signal.signal(number, passed_on) for number in (signal.SIGINT, signal.SIGTERM)}
    copies: list[threading.Thread] = []
    try:
        for i in range(processes):
            children.append(_start(command, i, processes, port, devices))
            for source, target in ((children[-1].stdout, sys.stdout), (children[-1].stderr, sys.stderr)):
                copies.append(threading.Thread(target=_copy, args=(source, target, f"[{i}] "), daemon=True))
                copies[-1].start()
        status = _wait(children, grace_s, seen)
        for copy in copies:
            copy.join(timeout=5)  # a grandchild may hold the pipe open
    except OSError as e:
        raise UserError(f"{command[0]}: cannot be started ({e.strerror})") from None
    finally:
        _signal(children, signal.SIGKILL)
        for number, handler in previous.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def main(argv: Sequence[str]) -> int:
    """Runs the command that follows `--`; returns the exit status."""
    command = list(argv[1:])
    if not command:
        raise UserError("no command: python -m launch.local --processes=2 -- python -m experiments.train --config=...")
    if command[0] in ("python", "python3"):
        command[0] = sys.executable  # it has our dependencies, whether or not its environment is activated
    return launch(command, flags.FLAGS.processes, flags.FLAGS.devices)


if __name__ == "__main__":
    flags.DEFINE_integer("processes", 2, "Number of processes.", lower_bound=1)
    flags.DEFINE_integer("devices", 1, "CPU devices of each process.", lower_bound=1)
    cli.run(main, arguments=None)
