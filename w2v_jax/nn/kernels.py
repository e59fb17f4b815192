"""Kernels in C++ for CPUs (`w2v_jax/nn/native`), called through `jax.ffi`.

They are compiled once for a machine, by $CXX, c++ or g++, into `$W2V_JAX_CACHE/kernels` (~/.cache/w2v_jax/kernels).
The name of the file is a digest of the source, the compiler, its options, the headers of jaxlib and the instructions of
the processor, so that no machine loads what was made for another. `python -m w2v_jax.nn.kernels` compiles them at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from w2v_jax.errors import UserError
from w2v_jax.storage import local_cache
from w2v_jax.types import Array

SOURCES = Path(__file__).parent / "native"
NAMES = ("noise_gradients", "path_gradients", "adagrad")
OPTIONS = ("-O3", "-march=native", "-ffp-contract=fast", "-std=c++17", "-shared", "-fPIC", "-w")
LONGEST = 300  # seconds that the compiler may take; it needs 5 to 15


def compiler() -> list[str]:
    """The command of the C++ compiler. UserError: there is none."""
    given = os.environ.get("CXX")
    if given:
        return shlex.split(given)
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise UserError("no C++ compiler (c++, g++, clang++): install one, or name it with CXX")


def _processor() -> str:
    """The instructions that -march=native may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _run(command: Sequence[str]) -> str:
    """What a command printed. UserError: it fails; the message is its last line that names an error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as e:
        raise UserError(f"{command[0]}: {e}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise UserError(f"{command[0]}: {next((x for x in lines if 'error' in x), lines[-1])}")
    return done.stdout


def _remove_left(cache: Path) -> None:
    """Removes what builds that were killed have left: folders that are older than any build can be."""
    for folder in cache.glob(".build-*"):
        with contextlib.suppress(FileNotFoundError):  # another process removes it too
            if time.time() - folder.stat().st_mtime > 2 * LONGEST:
                shutil.rmtree(folder, ignore_errors=True)


def build() -> Path:
    """The library of the kernels, compiled if the cache lacks it. The file appears whole, also where several processes
    compile at once. UserError or OSError: it cannot be made."""
    command = [*compiler(), *OPTIONS]
    sources = sorted(SOURCES.glob("*.*"))
    about = [*command, _run([command[0], "--version"]), version("jaxlib"), platform.machine(), _processor()]
    digest = hashlib.sha256("\0".join(about).encode())
    for path in sources:
        digest.update(path.read_bytes())
    target = local_cache() / "kernels" / f"{digest.hexdigest()[:32]}.so"
    _remove_left(target.parent)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as folder:
            made = Path(folder) / target.name
            print(
                "kernels: compiles them once for this machine, most often in 5 to 15 seconds",
                file=sys.stderr,
                flush=True,
            )
            include = f"-I{jax.ffi.include_dir()}"
            _run([*command, include, str(SOURCES / "kernels.cc"), "-o", str(made)])
            os.replace(made, target)
    return target


def _library() -> ctypes.CDLL:
    return ctypes.cdll.LoadLibrary(str(build()))


@lru_cache(maxsize=1)
def _lanes() -> int:
    return int(_library().w2v_lanes())


def padded(dim: int) -> int:
    """Numbers of a row of gradients: `dim`, and unused ones up to a whole number of the processor's vectors."""
    return -(-dim // _lanes()) * _lanes()


@lru_cache(maxsize=1)
def missing() -> str:
    """'' if the kernels can be called, which the first call compiles and loads; else why not, in one line."""
    try:
        library = _library()
        for name in NAMES:
            handler = jax.ffi.pycapsule(getattr(library, f"{name}_handler"))
            jax.ffi.register_ffi_target(f"w2v_jax_{name}", handler, platform="cpu")
    except (UserError, OSError, AttributeError) as e:
        return str(e).splitlines()[0]
    return ""


def call(
    name: str,
    results: Sequence[jax.ShapeDtypeStruct],
    *args: Array,
    alias: Mapping[int, int] | None = None,
    **fixed: Any,
) -> list[Array]:
    """The results of a kernel, arrays of these shapes. `alias` names the arguments that are changed in place:
    {argument: result}; `fixed` are its attributes, numpy scalars or bool. RuntimeError: `missing` says why."""
    if missing():
        raise RuntimeError(f"the kernel {name} cannot be called: {missing()}")
    made = jax.ffi.ffi_call(f"w2v_jax_{name}", tuple(results), input_output_aliases=dict(alias or {}))(*args, **fixed)
    return list(made)


if __name__ == "__main__":
    why = missing()
    print(f"kernels: {why}; training takes the programs of XLA" if why else f"kernels: {build()}")
    sys.exit(0)
