"""What a failed write of a checkpoint means, whatever raised it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import threading

import jax

# tensorstore and orbax raise ValueError for files that are gone.
_GONE = re.compile(r"NOT_FOUND|No ArrayMetadata found|No such file or directory|Checkpoint directory does not exist")


def as_oserror(e: Exception, where: str) -> OSError | None:
    """The error as an OSError that names `where`; None when no file is the cause."""
    if isinstance(e, FileNotFoundError) or (isinstance(e, ValueError) and _GONE.search(str(e))):
        return OSError(errno.ENOENT, "it was removed while it was written; run the same command again", where)
    if isinstance(e, OSError) and e.errno:
        return OSError(e.errno, os.strerror(e.errno), where)
    # tensorstore raises ValueError with the system's number in its text, in two spellings.
    code = re.search(r"(?i)os[ _]error(?:_code)?\W*(\d+)", str(e))
    return OSError(int(code[1]), os.strerror(int(code[1])), where) if code else None


def release_waiting() -> None:
    """Ends the threads of orbax that wait for a step of a save that has failed: nobody signals it any more.

    Python waits for them at its end, for the minutes of orbax's timeout. With several processes it is left to that:
    a signal would reach the others as well.
    """
    futures = sys.modules.get("orbax.checkpoint._src.futures.future")
    if futures is None or jax.process_count() > 1:
        return
    with contextlib.suppress(AttributeError, TypeError):  # another version of orbax
        for thread in threading.enumerate():
            if isinstance(thread, futures._SignalingThread):
                thread.cancel()
                futures.set_signals(thread._receive_signals, operation_id=thread._operation_id)
