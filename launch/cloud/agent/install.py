"""Installs what is shipped, unless the lock file is the one that is installed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from typing import IO, Any

from launch.cloud.agent.base import HOME, INSTALL_LOG, INSTALLED, ROOT, SOURCE, TICK_S, now, read, send, write


def install(spec: dict[str, Any]) -> str:
    """Unpacks the source, and makes the environment unless the lock file is the one installed; returns what failed."""
    fresh = os.path.join(ROOT, "source.new")
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    with open(INSTALL_LOG, "ab") as log:
        if subprocess.run(["tar", "xzf", SOURCE, "-C", fresh], stdout=log, stderr=log).returncode:
            return "the source could not be unpacked"
        source, old = os.path.join(ROOT, "source"), os.path.join(ROOT, "source.old")
        shutil.rmtree(old, ignore_errors=True)
        if os.path.isdir(source):
            os.rename(source, old)
        os.rename(fresh, source)
        if read(INSTALLED).get("lock") == spec["lock"]:
            log.write(f"lock {spec['lock']}: already installed\n".encode())
            return ""
        with contextlib.suppress(OSError):
            os.remove(INSTALLED)
        shutil.rmtree(os.path.join(ROOT, "venv"), ignore_errors=True)  # half of an earlier install, or another lock's
        for line in spec["install"]:
            log.write(f"$ {' '.join(line)}\n".encode())
            log.flush()
            if status := run_bounded(line, source, log, float(spec["install_s"])):
                return f"{' '.join(line)[:200]}: {status}"
    found = frozen(source)
    wrong = {k: found.get(k) for k, v in spec["pair"].items() if not matches(found.get(k, ""), v)}
    if wrong:
        want = ", ".join(f"{k} {v}" for k, v in spec["pair"].items())
        return f"libtpu mismatch: {want} were wanted, {', '.join(f'{k} {v}' for k, v in wrong.items())} installed"
    write(INSTALLED, {"lock": spec["lock"], **found})
    return ""


def matches(version: str, wanted: str) -> bool:
    """True when `version` is `wanted`, which may end in `.*`."""
    return version == wanted or (wanted.endswith(".*") and (version + ".").startswith(wanted[:-1]))


def frozen(source: str) -> dict[str, Any]:
    """The versions of jax, jaxlib and libtpu that are installed."""
    line = [uv(), "pip", "freeze", "--python", os.path.join(ROOT, "venv", "bin", "python")]
    listed = subprocess.run(line, cwd=source, capture_output=True, text=True).stdout
    return dict(re.findall(r"(?m)^(jax|jaxlib|libtpu)==(\S+)$", listed))


def uv() -> str:
    return shutil.which("uv") or os.path.join(HOME, ".local", "bin", "uv")


def run_bounded(line: list[str], cwd: str, log: IO[bytes], seconds: float) -> str:
    """Runs one command of the install; returns what failed, or nothing."""
    if line[0] == "uv":
        line = [uv(), *line[1:]]
    until = now() + seconds
    try:
        child = subprocess.Popen(line, cwd=cwd, stdout=log, stderr=log, start_new_session=True)
    except OSError as e:
        return f"cannot be started ({e.strerror})"
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = child.wait(timeout=TICK_S)
            return f"exit status {status}" if status else ""
        if now() > until:
            send(child.pid, signal.SIGKILL)
            child.wait()
            return f"not done after {seconds:g} s"
