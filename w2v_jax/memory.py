"""What a run would need at least, against the memory of the machine: refused in one line instead of killed later."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from w2v_jax.errors import UserError

_CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # limits of a container
_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB", "EB")


def of_machine() -> int:
    """Bytes of memory that this process may use."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP:
        with contextlib.suppress(OSError, ValueError):  # ValueError: "max"
            found.append(int(Path(path).read_text()))
    return min(found)


def require(what: str, parts: Mapping[str, int], most: int | None = None, where: str = "this machine") -> None:
    """UserError unless the bytes of `parts` together fit into `most`, by default the memory of the machine. `what` is
    the key or flag to change, with its value."""
    most, total = of_machine() if most is None else most, sum(parts.values())
    if total > most:
        name, size = max(parts.items(), key=lambda part: part[1])
        raise UserError(
            f"{what}: would need at least {written(total)} of memory ({name} {written(size)}), and {where} has "
            f"{written(most)}; give a smaller number"
        )


def written(size: int) -> str:
    """A number of bytes for people."""
    unit = min(max(len(str(size)) - 1, 0) // 3, len(_UNITS) - 1)
    return f"{size / 1000**unit:,.3g} {_UNITS[unit]}" if unit else f"{size} bytes"
