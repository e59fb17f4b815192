"""Faults below Python: a small library (inject.c) that the system's C compiler builds and LD_PRELOAD loads."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("inject.c")
COUNT, ONCE, FROM_NOW_ON, KILL, TORN = range(5)  # as in inject.c
ERRORS = {"enospc": errno.ENOSPC, "eio": errno.EIO}


class Arm(NamedTuple):
    """What is to happen at the `at`-th write (or open for writing, sync, rename, new folder) below `folder`."""

    folder: Path
    at: int = 0
    mode: int = COUNT
    error: int = 0


def build(folder: Path) -> Path | None:
    """The compiled library in `folder`; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    library = folder / "inject.so"
    flags = ["-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run([compiler, *flags], capture_output=True)
    return None if done.returncode else library


def _loaded() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None)
    if not hasattr(library, "faults_arm"):
        return None
    library.faults_count.restype = ctypes.c_long
    library.faults_fired.restype = ctypes.c_char_p
    return library


def how() -> str:
    """How writes are made to fail in this process, for the report."""
    return "a library below Python (LD_PRELOAD)" if _loaded() else "a limit on the size of files (RLIMIT_FSIZE)"


def arm(what: Arm) -> None:
    """Arms this process. Without the library files are limited to `at` hundred bytes instead, and nothing is killed."""
    library = _loaded()
    if library is not None:
        library.faults_arm(os.fsencode(what.folder), ctypes.c_long(what.at), what.mode, what.error)
    elif what.mode in (ONCE, FROM_NOW_ON):
        resource.setrlimit(resource.RLIMIT_FSIZE, (what.at * 100, resource.RLIM_INFINITY))


def seen() -> tuple[int, str]:
    """(number of writes, the one at which the fault came) of the process that was armed last; ours or a child."""
    library = _loaded()
    if library is None:
        return 100, ""
    return int(library.faults_count()), os.fsdecode(library.faults_fired())
