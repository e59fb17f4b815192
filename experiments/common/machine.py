"""The conditions of a measurement: hardware, system, versions and code; nothing that names the machine."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

_VERSIONS = ("jax", "jaxlib", "gensim", "numpy", "scipy", "tensorflow", "tensorflow-cpu")


def cores(count: int) -> str:
    """The number of cores in words."""
    return f"{count} core" + ("" if count == 1 else "s")


def machine() -> dict[str, Any]:
    """Used and present cores, processor, memory, system and versions. Imports none of the packages."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(errors="replace") if cpuinfo.exists() else ""
    named = re.search(r"^model name\s*:(.*)", text, re.MULTILINE)
    model = named[1].strip() if named else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {}
    for name in _VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "cores_used": cores,
        "cores": os.cpu_count(),
        "cpu": model,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def accelerators() -> dict[str, Any]:
    """The devices that JAX computes on: platform, kind and number."""
    import jax

    devices = jax.devices()
    return {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)}


@functools.cache  # this process has already read its code; a later commit does not change it
def revision() -> str:
    """The commit of the code, with + where tracked files differ from it; '' outside a clone."""
    folder = str(Path(__file__).parent)
    line = ["git", "-C", folder, "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
    return ""
