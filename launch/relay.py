"""Copies what the processes of a run print to the console, without what the others print once one has failed."""

from __future__ import annotations

import math
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

# A process whose peer was killed raises at once, often before its peer's end is seen here: what begins like the report
# of an error waits so long, but no process is held up more often than every few seconds.
_REPORT = re.compile(r"Traceback |[EF]\d{4} ")
_HOLD_S, _EVERY_S = 0.5, 5.0


class Relay:
    """Copies lines of several processes, each with its number in front.

    After `failed(i)` the errors of all processes but i go into a file of their own, `diverted`: they are consequences,
    and would drown what happened. A stream that cannot be written is no reason to stop reading, or the processes would
    wait for their pipes: the first such error is kept in `error`.
    """

    def __init__(self) -> None:
        self.diverted: Path | None = None
        self.error: OSError | None = None
        self._failed: int | None = None
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def copy(self, process: int, source: IO[str], target: IO[str], errors: bool) -> None:
        """Starts to copy `source`; `errors` says whether it is the standard error of the process."""
        self._threads.append(threading.Thread(target=self._copy, args=(process, source, target, errors), daemon=True))
        self._threads[-1].start()

    def failed(self, process: int) -> None:
        """From now on only this process is listened to."""
        self._failed = process

    def join(self, seconds: float) -> None:
        """Waits until all is copied, for so many seconds a stream: a grandchild may hold one open."""
        for thread in self._threads:
            thread.join(timeout=seconds)

    def _copy(self, process: int, source: IO[str], target: IO[str], errors: bool) -> None:
        held = -math.inf
        for line in source:
            if errors and _REPORT.match(line) and self._failed is None and time.monotonic() > held + _EVERY_S:
                time.sleep(_HOLD_S)
                held = time.monotonic()
            with self._lock:
                self._write(process, f"[{process}] {line.rstrip()}\n", target, errors)

    def _write(self, process: int, line: str, target: IO[str], errors: bool) -> None:
        try:
            if errors and self._failed not in (None, process):
                with self._file() as file:
                    file.write(line)
            else:
                target.write(line)
                target.flush()
        except OSError as e:
            self.error = self.error or e

    def _file(self) -> IO[str]:
        if self.diverted is None:
            number, name = tempfile.mkstemp(prefix="w2v_jax-", suffix=".log")
            os.close(number)
            self.diverted = Path(name)
        return self.diverted.open("a", encoding="utf-8")
