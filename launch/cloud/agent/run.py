"""The run on a worker: its supervisor, its guard, and what is asked about it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import Any

from launch.cloud.agent.base import (
    EXIT,
    GRACE_S,
    GUARD,
    INSTALL_LOG,
    LAUNCH,
    LOCKFILE,
    LOG,
    ROOT,
    STATE,
    TICK_S,
    alive,
    detach,
    mark,
    now,
    read,
    send,
    write,
)
from launch.cloud.agent.install import install
from launch.cloud.agent.lock import free_lock
from launch.cloud.agent.look import poll, tail


def supervise(spec: dict[str, Any]) -> None:
    """Installs, then runs the command until it ends, is stopped, or its time is up."""
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    write(LAUNCH, spec["launch"])
    state = {"id": spec["id"], "phase": "installing", **mark()}
    write(STATE, state)

    def end(phase: str, status: int, reason: str = "") -> None:
        write(EXIT, {"id": spec["id"], "phase": phase, "status": status, "reason": reason, "at": time.time()})

    if failure := install(spec):
        if said := tail(INSTALL_LOG, 1):
            failure += f" ({said[0][:300]})"
        return end("install", 1, failure)
    if ending:
        return end("install", 143, "stopped")
    if owner := free_lock(LOCKFILE):
        return end("lock", 1, f"{LOCKFILE} is held by {owner}")
    venv = os.path.join(ROOT, "venv")
    source = os.path.join(ROOT, "source")
    env = {**os.environ, "VIRTUAL_ENV": venv, "PYTHONPATH": source, "PYTHONUNBUFFERED": "1"}
    env["W2V_JAX_LAUNCH"] = LAUNCH  # the training command copies it into its run folder
    env["PATH"] = f"{os.path.join(venv, 'bin')}:{os.environ.get('PATH', '')}"
    with open(LOG, "ab") as log:
        try:
            # The shell's own look-up would take the PATH of this process; env finds `python` in that of the run.
            child = subprocess.Popen(
                ["/usr/bin/env", *spec["argv"]], cwd=source, env=env, stdout=log, stderr=log, start_new_session=True
            )
        except OSError as e:
            return end("run", 127, f"cannot be started ({e.strerror})")
    write(STATE, {**state, "phase": "running", "child": child.pid})
    killed_at = 0.0
    while (status := child.poll()) is None:
        if ending and not killed_at:
            send(child.pid, signal.SIGTERM)
            killed_at = time.monotonic() + GRACE_S
        if killed_at and time.monotonic() > killed_at:
            send(child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=TICK_S)
    send(child.pid, signal.SIGKILL)  # what the command left behind
    return end("run", status if status >= 0 else 128 - status, "stopped" if ending else "")


def supervised(spec: dict[str, Any]) -> None:
    """`supervise`; an error of its own, such as a full disk, is told as the end of the run."""
    try:
        supervise(spec)
    except Exception as e:
        where = read(STATE).get("phase", "")
        phase = "run" if where == "running" else "install"
        reason = f"the supervisor failed: {type(e).__name__}: {e}"
        write(EXIT, {"id": spec["id"], "phase": phase, "status": 1, "reason": reason, "at": time.time()})
        end_child(read(STATE) | {"pid": 0})


def guard(spec: dict[str, Any], seconds: float) -> None:
    """Waits until the paid hours are over; then ends the run and deletes the machine, also without the launcher."""
    until = now() + seconds
    while now() < until:
        time.sleep(TICK_S)
        if read(GUARD).get("pid") != os.getpid():  # a newer one has taken over
            return
    stop()
    for _ in range(20):
        if not subprocess.run(spec["delete"], capture_output=True).returncode:
            return
        time.sleep(TICK_S * 15)


def begin_guard(spec: dict[str, Any]) -> None:
    def work() -> None:
        write(GUARD, mark())
        guard(spec, float(spec["seconds_left"]))

    detach(work)


def start(spec: dict[str, Any]) -> dict[str, Any]:
    """Begins the run of the spec; does nothing where the same run goes on or has ended. An older run is ended first."""
    begin_guard(spec)
    state = read(STATE)
    if state.get("id") == spec["id"] and (alive(state) or read(EXIT).get("id") == spec["id"]):
        return poll(5)
    stop()
    for path in (EXIT, STATE, LOG, INSTALL_LOG):
        with contextlib.suppress(OSError):
            os.remove(path)
    write(STATE, {"id": spec["id"], "phase": "starting", **mark()})
    detach(lambda: supervised(spec))
    return {"state": "installing", "id": spec["id"]}


def stop() -> dict[str, Any]:
    """SIGTERM to the run, so that it saves; SIGKILL when it has not ended in time."""
    state = read(STATE)
    if not alive(state) or state["pid"] == os.getpid():
        end_child(state)
        return poll(5)
    with contextlib.suppress(OSError):
        os.kill(state["pid"], signal.SIGTERM)
    until = time.monotonic() + 1.5 * GRACE_S
    while alive(state) and time.monotonic() < until:
        time.sleep(min(TICK_S, 0.2))
    if alive(state):
        with contextlib.suppress(OSError):
            os.kill(state["pid"], signal.SIGKILL)
    end_child(read(STATE))
    return poll(5)


def end_child(state: dict[str, Any]) -> None:
    """A supervisor that was killed leaves its command behind."""
    if not alive(state) and state.get("child"):
        send(state["child"], signal.SIGCONT)
        send(state["child"], signal.SIGKILL)
