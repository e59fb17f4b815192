"""Commands under several processes (`launch.local`, or one on each host of a slice)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from launch import distributed

T = TypeVar("T")


def by_first(work: Callable[[], T]) -> T:
    """Process 0 does the work on its own devices and writes the results; the others wait for it and return the same.

    A lone process does it at once, and its devices are not asked for. Raises as `w2v_jax.train.world.from_first`.
    """
    distributed.initialize()
    jax = sys.modules.get("jax")
    if jax is None or not jax.distributed.is_initialized():
        return work()
    from w2v_jax.train import world

    return world.from_first(work)
