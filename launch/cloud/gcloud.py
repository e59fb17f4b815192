"""Runs `gcloud` lines: shows each one first, gives it a time limit, and tries again what failed in passing."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from launch.cloud.plan import Line
from w2v_jax.errors import UserError

# Errors that pass: of the network, of a service that is busy, of too many calls a minute.
_PASSING = re.compile(
    r"\b50[0234]\b|UNAVAILABLE|INTERNAL\b|Internal error|DEADLINE_EXCEEDED|Connection (reset|aborted|refused|timed out)"
    r"|[Tt]imed out|Temporary failure|Max retries exceeded|per minute|closed by remote host|Broken pipe"
)
TIMED_OUT = 124


class Done(NamedTuple):
    """How a line ended."""

    status: int
    out: str
    err: str

    @property
    def passing(self) -> bool:
        """True when the same line may well succeed later."""
        return self.status == TIMED_OUT or bool(self.status and _PASSING.search(self.err))


class Clock(NamedTuple):
    """The time in seconds, and how to let it pass."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def execute(line: Line, seconds: float) -> Done:
    """Runs one line without a shell. UserError: gcloud is not installed.

    It gets a session of its own: Ctrl-C is for the launcher, which then withdraws what it asked for.
    """
    if shutil.which(line[0]) is None:
        raise UserError(
            f"{line[0]} is not on PATH: install the Google Cloud CLI (https://cloud.google.com/sdk), "
            "or try the launcher without a cloud: python -m launch.fake"
        )
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", start_new_session=True,
    ) as child:  # fmt: skip
        try:
            out, err = child.communicate(timeout=seconds)
        except BaseException as e:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            if not isinstance(e, subprocess.TimeoutExpired):
                raise
            return Done(TIMED_OUT, out, f"{err}no answer after {seconds:g} s")
    return Done(child.returncode, out, err)


class Cloud:
    """How the launcher reaches the cloud: `run` for its lines, a clock, a place for what workers print, and `tell`,
    which prints. A line that is repeated is shown once."""

    def __init__(
        self,
        folder: Path,
        run: Callable[[Line, float], Done] = execute,
        clock: Clock | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        self.folder, self._run, self.clock, self.tell = folder, run, clock or Clock(), tell
        self._shown: set[str] = set()

    def show(self, line: Line, again: bool = False) -> None:
        """Prints a line, unless it was shown before; with `again` in any case."""
        text = shlex.join(line)
        if again or text not in self._shown:
            self._shown.add(text)
            self.tell(f"+ {text}")

    def __call__(self, line: Line, seconds: float = 120, attempts: int = 4) -> Done:
        """Runs a line that may be repeated, at most `attempts` times while it fails in passing."""
        self.show(line)
        for attempt in range(attempts):
            done = self._run(line, seconds)
            if not done.passing or attempt == attempts - 1:
                break
            self.clock.sleep(min(5.0 * 2**attempt, 60))
        return done
