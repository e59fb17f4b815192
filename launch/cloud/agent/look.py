"""What has become of the run on a worker."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time

from launch.cloud.agent.base import CLOCK, EXIT, INSTALL_LOG, INSTALLED, LOG, STATE, alive, read

TYPE_CHECKING = False  # that of typing, which takes a while to import
if TYPE_CHECKING:
    from typing import Any


def tail(path: str, lines: int) -> list[str]:
    """The last lines of a file, at most 64 KiB of it."""
    try:
        with open(path, "rb") as f:
            f.seek(max(0, os.path.getsize(path) - (64 << 10)))
            text = f.read().decode(errors="replace")
    except OSError:
        return []
    return [line[:2000] for line in re.split(r"[\r\n]+", text) if line][-lines:] if lines else []


def poll(lines: int) -> dict[str, Any]:
    """What has become of the run: none, installing, running, ended or lost (its supervisor was killed)."""
    state, ended = read(STATE), read(EXIT)
    name = "none"
    if state:
        phase = {"running": "running"}.get(state.get("phase", ""), "installing")
        name = "ended" if ended.get("id") == state["id"] else phase if alive(state) else "lost"
    log = INSTALL_LOG if name == "installing" or ended.get("phase") == "install" else LOG
    said = tail(log, 400)
    steps = [m[1] for line in said for m in [re.search(r"\bstep ([\d,]+)", line)] if m]
    size = sum(os.path.getsize(p) for p in (LOG, INSTALL_LOG) if os.path.exists(p))
    quiet = time.time() - os.path.getmtime(log) if os.path.exists(log) else 0.0
    step = int(steps[-1].replace(",", "")) if steps else None
    return {
        "state": name, "id": state.get("id"), "phase": ended.get("phase"), "status": ended.get("status"),
        "reason": ended.get("reason", ""), "at": ended.get("at"), "size": size, "step": step,
        "quiet": quiet,
        "tail": said[-lines:] if lines else [], "installed": read(INSTALLED),
    }  # fmt: skip


def catches(pid: int, number: int) -> bool:
    """True when a process has a handler for a signal, so that sending it does not end the process."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as f:
        caught = re.search(r"SigCgt:\s*([0-9a-f]+)", f.read())
        return bool(caught and int(caught[1], 16) >> (number - 1) & 1)
    return False


def dump(lines: int) -> dict[str, Any]:
    """Asks every process of the run for the stacks of its threads (SIGUSR1); they go into its log."""
    state = read(STATE)
    asked = 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            same = name.isdigit() and os.getpgid(int(name)) == state.get("child")
            if same and catches(int(name), signal.SIGUSR1):
                os.kill(int(name), signal.SIGUSR1)
                asked += 1
    time.sleep(0.2 if CLOCK else 2.0)
    return {**poll(0), "asked": asked, "tail": tail(LOG, lines)}
