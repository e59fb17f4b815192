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
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from w2v_jax.errors import UserError
from w2v_jax.files import HEAD, PACKED_BY, bounded, inside
from w2v_jax.storage import open_read

READ = ("plain", ".gz", ".bz2", ".xz", ".zst", ".zip")
_UNREAD = (".7z", ".rar", ".lz", ".lz4", ".lzma", ".z", ".tar", ".tgz", ".taz", ".tbz", ".tbz2", ".txz", ".tzst")


@contextlib.contextmanager
def unpacked(path: Path, file: Any, say: Callable[[str], object] = lambda line: None) -> Iterator[IO[bytes]]:
    """The content of an open binary file, unpacked by the ending of `path`.

    The files of a .zip are read one after the other in the order of their names, as if they were one. `say` takes how
    many hidden ones are left out.

    UserError: an archive of another kind; while it is read: the file is damaged, cut short, packed by a method that is
    not read, or unpacks without end.
    """
    ending = path.suffix.lower()
    if ending in _UNREAD or path.stem.lower().endswith(".tar"):
        ending = ending if ending in _UNREAD else f".tar{ending}"
        raise UserError(f"{path}: {ending} files are not read; unpack it first, or give one of {', '.join(READ)}")
    damage: list[type[Exception]] = [EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile]
    if ending == ".bz2":
        damage.append(OSError)  # what its decompressor raises for bytes of another kind
    opened: Any = {".gz": gzip.open, ".bz2": _bz2, ".xz": _xz, ".zip": lambda _: _Members(path)}.get(ending)
    if ending == ".zst":
        import zstandard

        damage.append(zstandard.ZstdError)
        opened = _Zst
    content = file
    try:
        content = bounded(path, cast(IO[bytes], opened(file))) if opened else file
        if (members := _members(content)) and members.hidden:
            say(f"{path}: {members.hidden:,} hidden files in it are left out")
        yield content
    except tuple(damage) as e:
        if isinstance(e, OSError) and e.errno:  # of the disk
            raise
        members = _members(content)
        name = "/".join([str(path), *(members.names[-1:] if members else [])])
        raise UserError(f"{name}: damaged or truncated compressed file ({e}){_other_kind(path, ending)}") from None
    except _Unread as e:
        raise UserError(f"{path}: {e}; unpack it first") from None


def place(path: Path, file: IO[bytes], at: int) -> tuple[str, int]:
    """Where byte `at` of a file that `unpacked` gives stands: the file and the byte; in an archive the member, as
    ARCHIVE/MEMBER, and the byte in it, without the byte-order mark at its start."""
    members = _members(file)
    if members is None or not members.starts:
        return str(path), at
    i = max(bisect_right(members.starts, at) - 1, 0)
    return f"{path}/{members.names[i]}", at - members.starts[i]


def is_archive(file: IO[bytes]) -> bool:
    """Whether a file that `unpacked` gives is several, end to end."""
    return _members(file) is not None


def _members(file: Any) -> _Members | None:
    found = inside(file)
    return found if isinstance(found, _Members) else None


def _other_kind(path: Path, ending: str) -> str:
    """The end of a message on a file that does not unpack: it may not be packed at all."""
    with open_read(path) as file:
        head = file.read(HEAD)
    if head.startswith(PACKED_BY.get(ending, b"")):
        return ""
    return f"; it does not begin as a {ending} file does: if it is not packed, take {ending} off its name"


class _Streams(io.RawIOBase):
    """Streams of a packer end to end, and nothing else. Python's own readers take whatever follows the first stream and
    is none itself, such as a damaged one, for the end of the file."""

    def __init__(self, file: IO[bytes], new: Callable[[], Any], padding: bytes) -> None:
        """`padding`: what may stand behind a stream."""
        self._file, self._new, self._padding = file, new, padding
        self._stream, self._read = new(), 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._read

    def read(self, size: int = -1) -> bytes:
        data = b""
        while not data:
            packed = b""
            if self._stream.eof:
                packed = self._stream.unused_data.lstrip(self._padding)
                while not packed:
                    more = self._file.read(1 << 16)
                    if not more:
                        return b""
                    packed = more.lstrip(self._padding)
                self._stream = self._new()
            elif self._stream.needs_input:
                packed = self._file.read(1 << 16)
                if not packed:
                    raise EOFError("it ends inside a stream")
            data = self._stream.decompress(packed, size)
        self._read += len(data)
        return data


def _bz2(file: IO[bytes]) -> _Streams:
    return _Streams(file, bz2.BZ2Decompressor, b"")


def _xz(file: IO[bytes]) -> _Streams:
    return _Streams(file, lzma.LZMADecompressor, b"\0")


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

    Folders and what archivers add for themselves (names that begin with a dot, `__MACOSX`) are left out; `hidden` is
    how many files that are.
    """

    def __init__(self, path: Path) -> None:
        # An archive is read from its end, and hashed from its start: so it is opened once more.
        with _told():
            self._archive = zipfile.ZipFile(open_read(path))
        names = sorted(self._archive.infolist(), key=lambda member: member.filename)
        files = [m for m in names if not m.is_dir()]
        self._left = [m for m in files if not any(_hidden(p) for p in m.filename.split("/"))]
        self.hidden = len(files) - len(self._left)
        self._open: zipfile.ZipExtFile | None = None
        self._read, self._last = 0, b"\n"
        self.starts: list[int] = []  # of the members so far, among all bytes that were read
        self.names: list[str] = []

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
            self.starts.append(self._read)
            self.names.append(member.filename)
            if member.flag_bits & 1:
                raise _Unread(f"holds an encrypted file ({member.filename})")
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
