"""A roll call before JAX joins the processes of a run.

When a process is missing, JAX's own rendezvous aborts all the others and does not name it. Here process 0 listens at
the coordinator's address until all have called or the time is up, and then tells every caller which are missing.
"""

from __future__ import annotations

import contextlib
import socket
import time

from launch.distributed import Place

_LONGEST = 4096  # bytes of one message


def _listen(host: str, port: int, deadline: float) -> socket.socket:
    """Listens at the host's address, or at every address of this machine where the host's cannot be bound."""
    while True:
        for address in (host, ""):
            server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind((address, port))
                server.listen(128)
                return server
            except OSError as e:
                server.close()
                error = e
        if time.monotonic() > deadline:
            raise error
        time.sleep(0.2)


def _receive(channel: socket.socket) -> str:
    """One line, without its end."""
    with channel.makefile("rb") as file:
        return file.readline(_LONGEST).decode("ascii", "replace").strip()


def _answer(here: Place, host: str, port: int, deadline: float) -> list[int]:
    """Process 0: collects the callers and tells them who is missing."""
    present: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listen(host, port, deadline))
        while len(present) < here.processes - 1 and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                channel, _ = server.accept()
                stack.enter_context(channel)
                channel.settimeout(5)
                name = _receive(channel)
            except OSError:
                continue
            if name.isdigit() and 0 < int(name) < here.processes:
                present[int(name)] = channel
        missing = [i for i in range(1, here.processes) if i not in present]
        for channel in present.values():
            with contextlib.suppress(OSError):  # it has left; JAX's rendezvous will miss it
                channel.sendall((" ".join(map(str, missing)) + "\n").encode())
    return missing


def _call(here: Place, host: str, port: int, deadline: float) -> list[int]:
    """Any other process: calls process 0 until it answers."""
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, port), timeout=left) as channel:
                channel.sendall(f"{here.process_id}\n".encode())
                channel.settimeout(left + 5)  # process 0 may have started a little later
                return [int(i) for i in _receive(channel).split()]
        except OSError:
            time.sleep(0.2)
    return [0]


def missing_processes(here: Place, timeout_s: float) -> list[int]:
    """The ids of the processes that did not call within `timeout_s` seconds; empty when all are there. OSError: process
    0 cannot listen at the coordinator's address."""
    host, _, port = here.coordinator.rpartition(":")
    ask = _answer if here.process_id == 0 else _call
    return ask(here, host, int(port), time.monotonic() + timeout_s)
