"""Packed text files as they are unpacked, by the ending of their name in any case: .gz, .bz2, .xz, .zst and .zip."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from w2v_jax.errors import UserError
from w2v_jax.files import bounded
from w2v_jax.storage import open_read

READ = ("plain", ".gz", ".bz2", ".xz", ".zst", ".zip")
_UNREAD = (".7z", ".rar", ".lz4", ".tar", ".tgz")


@contextlib.contextmanager
def unpacked(path: Path, file: Any) -> Iterator[IO[bytes]]:
    """The content of an open binary file, unpacked by the ending of `path`.

    The files of a .zip are read one after the other in the order of their names, as if they were one.

    UserError: an archive of another kind; while it is read: the file is damaged, cut short, packed by a method that is
    not read, or unpacks without end.
    """
    ending = path.suffix.lower()
    if ending in _UNREAD:
        raise UserError(f"{path}: {ending} files are not read; unpack it first, or give one of {', '.join(READ)}")
    damage: list[type[Exception]] = [EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile]
    if ending == ".bz2":
        damage.append(OSError)  # what its decompressor raises for bytes of another kind
    opened: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": lambda _: _Members(path)}.get(ending)
    if ending == ".zst":
        import zstandard

        damage.append(zstandard.ZstdError)
        opened = _Zst
    try:
        yield bounded(path, cast(IO[bytes], opened(file))) if opened else file
    except tuple(damage) as e:
        if isinstance(e, OSError) and e.errno:  # of the disk
            raise
        raise UserError(f"{path}: damaged or truncated compressed file ({e})") from None
    except _Unread as e:
        raise UserError(f"{path}: {e}; unpack it first") from None


class _Zst(io.RawIOBase):
    """Zstandard frames end to end. The library's own reader takes a file that is cut short for a whole one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._frame, self._begun = file, self._new(), False
        self._ready, self._read = b"", 0

    @staticmethod
    def _new() -> Any:
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj()

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._read

    def read(self, size: int = -1) -> bytes:
        while not self._ready:
            # Few bytes at a time: each may unpack to tens of thousands.
            packed = self._file.read(1024)
            if not packed:
                if self._begun:
                    raise EOFError("it ends inside a frame")
                return b""
            while packed:
                self._begun = True
                self._ready += self._frame.decompress(packed)
                packed = self._frame.unused_data if self._frame.eof else b""
                if self._frame.eof:
                    self._frame, self._begun = self._new(), False
        size = len(self._ready) if size < 0 else size
        data, self._ready = self._ready[:size], self._ready[size:]
        self._read += len(data)
        return data


class _Unread(Exception):
    """A member of an archive needs a password, or is packed by a method that is not read."""


class _Members(io.RawIOBase):
    """The files of a zip archive end to end, without byte-order marks at their starts. A line feed ends each that lacks
    one: two texts share no line.

    Folders and what archivers add for themselves (names that begin with a dot, `__MACOSX`) are left out.
    """

    def __init__(self, path: Path) -> None:
        # An archive is read from its end, and hashed from its start: so it is opened once more.
        with _told():
            self._archive = zipfile.ZipFile(open_read(path))
        names = sorted(self._archive.infolist(), key=lambda member: member.filename)
        self._left = [m for m in names if not m.is_dir() and not any(_hidden(p) for p in m.filename.split("/"))]
        self._open: zipfile.ZipExtFile | None = None
        self._read, self._last = 0, b"\n"

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._read

    def read(self, size: int = -1) -> bytes:
        while True:
            data = self._open.read(size) if self._open else b""
            if not data and self._open and self._last != b"\n":
                data = b"\n"
            if data:
                self._last = data[-1:]
                self._read += len(data)
                return data
            if not self._left:
                return b""
            member = self._left.pop(0)
            if member.flag_bits & 1:
                raise _Unread("holds an encrypted file")
            with _told():
                self._open = cast(zipfile.ZipExtFile, self._archive.open(member))
            if self._open.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
                self._open.read(len(codecs.BOM_UTF8))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """_Unread for what Python's zipfile does not unpack, such as Deflate64."""
    try:
        yield
    except NotImplementedError as e:
        raise _Unread(f"holds a file that is packed in a way that is not read ({e})") from None


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
