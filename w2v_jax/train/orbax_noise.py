"""Keeps from the console what orbax prints beside the exceptions that it raises."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_ORBAX = f"{os.sep}orbax{os.sep}"  # in the path of every file of orbax


def silence_orbax() -> None:
    """Drops orbax's log records, and the echoes of its failed writes: abandoned tasks, and reports to an event loop
    that is closed. The failures themselves all return as exceptions, so no error is lost."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_not_from_orbax)  # adding it a second time does nothing
    if not isinstance(sys.unraisablehook, _DropEchoes):
        sys.unraisablehook = _DropEchoes(sys.unraisablehook)


class _DropEchoes:
    """A `sys.unraisablehook` that drops abandoned coroutines of orbax and "Event loop is closed", and nothing else."""

    def __init__(self, before: Callable[[Any], Any]) -> None:
        self._before = before

    def __call__(self, report: Any) -> None:
        code = getattr(report.object, "cr_code", None)
        closed = isinstance(report.exc_value, RuntimeError) and "Event loop is closed" in str(report.exc_value)
        if not closed and not (code is not None and _ORBAX in code.co_filename):
            self._before(report)


def _not_from_orbax(entry: logging.LogRecord) -> bool:
    places = [entry.pathname, entry.getMessage()]
    if entry.name == "asyncio" and entry.exc_info:  # of several abandoned tasks together only the traceback tells whose
        places += [frame.f_code.co_filename for frame, _ in traceback.walk_tb(entry.exc_info[2])]
    return not any(_ORBAX in place for place in places)


@contextmanager
def one_error_only() -> Iterator[None]:
    """Mutes what Python prints about the other reads that orbax abandons when one fails."""
    hook, log = sys.unraisablehook, logging.getLogger("asyncio")

    def silent(_: object) -> bool:
        return False

    sys.unraisablehook = silent
    log.addFilter(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # "coroutine ... was never awaited"
            yield
    finally:
        sys.unraisablehook = hook
        log.removeFilter(silent)
