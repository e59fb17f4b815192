"""Standard output and standard error of commands: full, closed, or without a reader."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from w2v_jax.train.appended import appended

LOG = "console.log"
_WARNS = re.compile(r"\w*Warning: ")  # how `warnings` writes one
_REMEMBERED = 1000  # pieces of text that found no place yet


class Console:
    """A stream for `print` that never raises for its own sake.

    What `stream` does not take, as on a full disk or when its reader has ended, goes into `file`, where one is given,
    behind a line that says why. None stands for a stream that was closed from the start. Every piece is tried anew.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = None if stream is None else _unbuffered(stream)
        self._owner = stream  # of the descriptor, which is closed when nothing refers to it any more
        self.file: Path | None = None
        self._told = False
        self._lost: deque[str] = deque(maxlen=_REMEMBERED)

    def write(self, text: str) -> int:
        try:
            if self._stream is None:
                raise OSError(errno.EBADF, "it is closed")
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as e:  # ValueError: it was closed meanwhile
            self._keep(text, e)
        return len(text)

    def flush(self) -> None:
        """Nothing is buffered."""

    def isatty(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _keep(self, text: str, why: Exception) -> None:
        self._lost.append(text)
        if self.file is None:
            return
        reason = why.strerror if isinstance(why, OSError) else str(why)
        heading = "" if self._told else f"What standard error did not take ({reason}):\n"
        with contextlib.suppress(OSError):
            file = appended(self.file)
            try:
                file.write((heading + "".join(self._lost)).encode("utf-8", "backslashreplace"))
            finally:
                file.close()
            self._told = True
            self._lost.clear()


class WarningsOnly(io.TextIOBase):
    """What lets the lines of warnings through to a stream, and nothing else: progress, say."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream, self._line = stream, ""

    def write(self, text: str) -> int:
        self._line += text
        if self._line.endswith("\n"):  # `print` writes the end of a line by itself; `warnings` several lines at once
            if self._stream and (self._line.startswith("warning:") or _WARNS.search(self._line)):
                self._stream.write(self._line)
                self._stream.flush()
            self._line = ""
        return len(text)


class Output:
    """Standard output, whose errors name it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _named():
            return self._stream.write(text)

    def flush(self) -> None:
        with _named():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as e:
        e.filename = "standard output"
        raise


def in_notebook(stream: Any) -> bool:
    """Whether a stream shows what it gets in a cell of a notebook, where a line can be rewritten."""
    inner = getattr(stream, "_stream", stream) if isinstance(stream, Console) else stream
    return type(inner).__module__.partition(".")[0] == "ipykernel"


def _unbuffered(stream: TextIO) -> TextIO:
    """The same stream without a buffer: what a full disk did not take would stay there, and Python end with 120."""
    if in_notebook(stream):  # its descriptor is that of the notebook's server
        return stream
    try:
        raw = io.FileIO(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError, AttributeError):  # it is in memory
        return stream
    encoding = stream.encoding or "utf-8"
    return io.TextIOWrapper(cast(Any, raw), encoding=encoding, errors="backslashreplace", write_through=True)


def streams() -> None:
    """From now on errors of standard output name it, and those of standard error end nothing. What the encoding of
    standard output lacks is written as the number of the letter."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if not isinstance(sys.stdout, Output):
        sys.stdout = cast(TextIO, Output(sys.stdout))
    _tolerant()


def _tolerant() -> Console:
    if not isinstance(sys.stderr, Console):
        sys.stderr = cast(TextIO, Console(sys.stderr))
    return cast(Console, sys.stderr)


@contextlib.contextmanager
def kept(file: Path) -> Iterator[None]:
    """Until the end of the block, what standard error does not take goes into `file`."""
    before = sys.stderr
    console = _tolerant()
    console.file = file
    try:
        yield
    finally:
        console.file = None
        sys.stderr = before


def reopen() -> None:
    """Opens the null device where a standard stream is closed: or the next file that is opened gets its number, and
    with it what libraries print there."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  (for as long as the process runs)
