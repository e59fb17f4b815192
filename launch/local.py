"""Several processes on this machine, joined as one run.

    python -m launch.local --processes=2 -- python -m experiments.train ...

Each process has `--devices` CPU devices. A prefix names the process that wrote a line of output. When one process
fails, the others are ended and its exit status is returned; their errors, which follow from that, go into a file.
Ctrl-C and SIGTERM are passed on; a second one kills. A terminal that closes (SIGHUP), or a killed launcher, ends
the processes too: by SIGTERM, so that they can save first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from absl import flags

from experiments.common import cli
from launch.distributed import COORDINATOR, PROCESS_ID, PROCESSES
from launch.relay import Relay
from w2v_jax.errors import UserError

Child = subprocess.Popen[str]
SAVE_S = 30.0  # after a signal that was passed on, for a run to save
END_S = 5.0  # after a failure: without the failed process nothing can be saved
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def free_port() -> int:
    """A port of localhost that is free at the moment."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return int(s.getsockname()[1])


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


def _how(status: int) -> str:
    """How a process failed, in words."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"failed (exit status {status})"


def _wait(children: Sequence[Child], relay: Relay, seen: Sequence[int]) -> int:
    """Waits until all have ended. After the first failure the others get SIGTERM, and soon SIGKILL.

    After a signal that was passed on (`seen`) they are already ending; a second SIGTERM could cut a save short.
    """
    status, deadline = 0, float("inf")
    first: int | None = None
    while any(child.poll() is None for child in children):
        failed = [i for i, child in enumerate(children) if child.poll()]
        if failed and deadline == float("inf"):
            # Of two that ended within one look, one that was killed is the cause.
            first = min(failed, key=lambda i: int(children[i].returncode) >= 0)
            status, deadline = int(children[first].returncode), time.monotonic() + (SAVE_S if seen else END_S)
            if not seen:
                relay.failed(first)
                _signal(children, signal.SIGTERM)
        if time.monotonic() > deadline:
            _signal(children, signal.SIGKILL)
        time.sleep(0.05)
    relay.join(5)
    if first is not None and not seen:
        where = f"; what they printed then is in {relay.diverted}" if relay.diverted else ""
        print(f"process {first} {_how(status)}: the others were ended{where}", file=sys.stderr, flush=True)
    return status or next((int(child.returncode) for child in children if child.returncode), 0)


@contextlib.contextmanager
def _warden() -> Iterator[Callable[[str], None]]:
    """A process that outlives this one if it must, to end the run: takes lines as `launch.warden` reads them."""
    line = [sys.executable, "-I", "-S", str(Path(__file__).with_name("warden.py")), str(SAVE_S)]
    nowhere = subprocess.DEVNULL
    # Unbuffered: what a killed warden did not take would be an error of the launcher when the pipe is closed.
    with subprocess.Popen(
        line, bufsize=0, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True
    ) as warden:
        assert warden.stdin is not None
        told = warden.stdin

        def tell(text: str) -> None:
            with contextlib.suppress(OSError):  # it was killed
                told.write(f"{text}\n".encode())

        yield tell


def launch(command: Sequence[str], processes: int, devices: int = 1) -> int:
    """Runs `command` in `processes` joined processes. Returns 0, or the exit status of the first that failed: 128 + n
    where signal n ended it, as in a shell. UserError: the command cannot be started. OSError: nor can its output be
    written."""
    port = free_port()
    children: list[Child] = []
    seen: list[int] = []
    relay = Relay()

    def passed_on(number: int, frame: FrameType | None) -> None:
        seen.append(signal.SIGTERM if number == signal.SIGHUP else number)
        _signal(children, seen[0] if len(seen) == 1 else signal.SIGKILL)

    # Installed before the first process starts, so that none is ever left behind. `nohup` has SIGHUP ignored.
    wanted = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, passed_on) for number in wanted}
    with _warden() as tell:
        try:
            for i in range(processes):
                children.append(_start(command, i, processes, port, devices))
                tell(f"+{children[-1].pid}")
                _signal(children[-1:] if seen else (), signal.SIGTERM)  # the signal came before this process
                for source, target in ((children[-1].stdout, sys.stdout), (children[-1].stderr, sys.stderr)):
                    assert source is not None
                    relay.copy(i, source, target, errors=target is sys.stderr)
            status = _wait(children, relay, seen)
        except OSError as e:
            raise UserError(f"{command[0]}: cannot be started ({e.strerror})") from None
        finally:
            _signal(children, signal.SIGKILL)
            for child in children:
                child.wait()
                tell(f"-{child.pid}")
            for number, handler in previous.items():
                signal.signal(number, handler)
    if relay.error is not None and not status:
        raise relay.error
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
    flags.DEFINE_integer("processes", 2, "Number of processes.", lower_bound=1, upper_bound=256)
    flags.DEFINE_integer("devices", 1, "CPU devices of each process.", lower_bound=1)
    cli.run(main, arguments=None)
