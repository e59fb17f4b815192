"""The commands. One that is started as `python -m experiments.NAME` ends at once by Ctrl-C until `common.cli.run` takes
over: of the libraries that are imported meanwhile, some swallow a KeyboardInterrupt, others raise their own error.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from types import FrameType

stopped: list[int] = []  # the signal that has ended the command


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Ends the process: nothing is open yet that would have to be closed."""
    with contextlib.suppress(OSError):
        os.write(2, f"stopped by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)


def _leave() -> None:
    """After a signal all that is to be closed is closed; an import of TensorFlow that was cut short crashes later."""
    if stopped:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(128 + stopped[0])


# Python says -m only while it looks for the command; an import from anywhere else changes nothing.
if sys.argv[:1] == ["-m"]:
    atexit.register(_leave)  # the first: the last to be called
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, end_at_once)
