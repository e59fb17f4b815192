"""Files of a run that grow while it trains: appended to on a disk, sent whole now and then to a bucket."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from w2v_jax.storage import in_bucket, write_bytes

EVERY_S = 30.0  # seconds after which what was written to a file in a bucket is sent: a kill loses no more than that
_SHARE = 0.1  # of the time, at most, is spent on sending a file that has grown long


class Appended:
    """A file to which whole pieces are appended: each is on disk when `write` returns, or not at all when it raises
    OSError."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def write(self, data: bytes) -> None:
        size = os.fstat(self._file).st_size
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]  # a disk that fills up takes the first part without error
        except OSError as e:
            os.ftruncate(self._file, size)
            raise OSError(e.errno, e.strerror, str(self._path)) from e

    def flush(self) -> None:
        """Nothing is buffered."""

    def sync(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        os.close(self._file)


class Sent:
    """The same for an object in a bucket, to which nothing can be appended: a thread sends it whole every `EVERY_S`
    seconds while it grows, less often where that takes long. A failure is told, and sent again with what follows.
    """

    def __init__(self, path: Path, content: bytes = b"") -> None:
        self._path, self._content = path, bytearray(content)
        self._sent = len(content)  # bytes of the content that the bucket has
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sends {path.name}", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        with self._lock:
            self._content += data

    def flush(self) -> None:
        """Of a library's buffer: see `sync`."""

    def sync(self) -> None:
        """Returns when the bucket has all that was written. Raises OSError."""
        with self._sending:
            with self._lock:
                data = bytes(self._content) if len(self._content) > self._sent else None
            if data is not None:
                write_bytes(self._path, data)
                self._sent = len(data)

    def close(self) -> None:
        """Sends the rest. Raises OSError."""
        self._ended.set()
        self._thread.join()
        self.sync()

    def _run(self) -> None:
        took, told = 0.0, False
        while not self._ended.wait(max(EVERY_S, took / _SHARE)):
            began = time.monotonic()
            try:
                self.sync()
                told = False
            except OSError as e:
                if not told:
                    print(f"warning: {self._path}: {e.strerror}; it is sent again later", file=sys.stderr, flush=True)
                told = True
            took = time.monotonic() - began


def appended(path: Path) -> Appended | Sent:
    """A file to append to; what it has stays. OSError."""
    if not in_bucket(path):
        return Appended(path)
    return Sent(path, path.read_bytes() if path.exists() else b"")
