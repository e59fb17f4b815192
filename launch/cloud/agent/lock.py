"""The lock of libtpu, which a killed process leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess


def users_of_tpu(lock: str) -> tuple[list[int], bool]:
    """(processes that hold a TPU chip or the lock file open, whether some processes could not be looked into)."""
    devices = re.compile(r"/dev/(accel|vfio/)[0-9]")
    found, hidden = [], False
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            links = [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
        except PermissionError:
            hidden = True
            continue
        except OSError:  # it has ended
            continue
        if any(link == lock or devices.match(link) for link in links):
            found.append(int(name))
    return found, hidden


def locked(lock: str) -> bool:
    """True when a process, of whatever user, holds a lock on the file."""
    try:
        with open(lock, "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # another user's file: only its open descriptors can tell
        return False


def seen_by_root(lock: str) -> list[int]:
    """The processes of any user that have the file open, as far as `sudo` may tell without a password."""
    with contextlib.suppress(OSError):
        done = subprocess.run(["sudo", "-n", "fuser", lock], capture_output=True, text=True)
        return [int(word) for word in re.findall(r"\d+", done.stdout)]
    return []


def free_lock(lock: str) -> str:
    """Removes the lock file of libtpu if its owner is dead; returns who holds it, or nothing."""
    if not os.path.exists(lock):
        return ""
    owners, hidden = users_of_tpu(lock)
    if not owners and hidden:
        owners = seen_by_root(lock)
    if owners:
        with contextlib.suppress(OSError), open(f"/proc/{owners[0]}/cmdline", "rb") as f:
            command = f.read().replace(bytes(1), b" ").decode(errors="replace").strip()[:120]
            return f"process {owners[0]} ({command})"
        return f"process {owners[0]}"
    if locked(lock):
        return "a process that cannot be looked into"
    try:
        os.remove(lock)
    except OSError:
        with contextlib.suppress(OSError):
            subprocess.run(["sudo", "-n", "rm", "-f", lock], capture_output=True)
    return "nobody, but the file cannot be removed" if os.path.exists(lock) else ""
