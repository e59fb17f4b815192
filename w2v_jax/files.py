"""Files that are written whole or not at all, and JSON files with one-line errors."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from typing import IO, Any, cast

from w2v_jax.errors import UserError, from_caller
from w2v_jax.storage import PathLike, expanded, in_bucket, open_read, real, spool, to_path
from w2v_jax.storage import stat as stat_of

# What a packed file may unpack to: so many times its size, or so many bytes if that is more. Text is a third to a
# tenth of its size when packed; a file made to fill the memory is a thousandth.
MOST_TIMES, FREE_BYTES = 100, 64 << 20
# What packed files begin with, by their ending.
PACKED_BY: dict[str, tuple[bytes, ...]] = {".gz": (b"\x1f\x8b",), ".xz": (b"\xfd7zXZ\0",)}
PACKED_BY |= {".zst": (b"\x28\xb5\x2f\xfd",)}
PACKED_BY |= {".zip": (b"PK\3\4", b"PK\5\6"), ".bz2": tuple(b"BZh%d1AY&SY" % i for i in range(1, 10))}
_OTHER = {b"\x1f\x9d": ".Z", b"7z\xbc\xaf\x27\x1c": ".7z", b"Rar!\x1a\7": ".rar"}
HEAD = 512  # bytes that tell what a file is
MAC_ADVICE = "its lines end in carriage returns alone; convert them first: tr '\\r' '\\n' <OLD >NEW"


def not_text(head: bytes) -> str:
    """What a file that begins with these (`HEAD`) bytes is in place of UTF-8 text, and what to do; '' where that is not
    known."""
    for wide, name in (
        ((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "UTF-32"),  # before UTF-16: one begins with that of the other
        ((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "UTF-16"),
    ):
        if head.startswith(wide):
            return f"is {name}; convert it first: iconv -f {name} -t UTF-8 <OLD >NEW"
    for ending, marks in PACKED_BY.items():
        if head.startswith(marks):
            more = ", or a document of an office program" if ending == ".zip" else ""
            return f"is a {ending} file by its content{more}; end its name in {ending}, or unpack it first"
    for mark, ending in _OTHER.items():
        if head.startswith(mark):
            return f"is a {ending} file by its content; unpack it first"
    if head.startswith(b"%PDF-"):
        return "is a PDF, no text; convert it first, as by pdftotext"
    return "is a tar archive; unpack it first" if head[257:262] == b"ustar" else ""


@contextlib.contextmanager
def atomic(path: PathLike) -> Iterator[IO[bytes]]:
    """A binary file that gets its name when it is complete; a failed write leaves nothing behind.

    A link is followed, so that the file behind it is replaced. A device or a pipe is written to, never replaced. An
    object of a bucket is sent when the block ends.

    Raises:
      OSError: the write failed. `filename` is set, also where the system does not set it, as on a full disk.
    """
    if in_bucket(path):
        with spool(path) as f:
            yield f
        return
    given, path = os.fspath(path), real(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        with _named(given), open(path, "wb") as f:
            yield f
        return
    part = part_of(path)
    try:
        with _named(given):
            with open(part, "wb") as f:
                yield f
            os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            os.remove(part)


def given_path(name: str, value: Any, need: str = "the path of a folder") -> PathLike:
    """The value of the argument `name`. UserError: it is no path, or empty, and must be `need`."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise UserError(f"{name}={value!r}: must be {need}")
    return expanded(value)


def part_of(path: str) -> str:
    """Where a file or a folder is written before it gets its name."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{os.getpid()}.tmp")


def remove_parts(folder: PathLike, names: str) -> None:
    """Removes what a killed process left of files and folders that it was writing, those whose names match `names`, a
    regular expression. Only the one process that writes them may ask for it. What cannot be removed stays."""
    left = re.compile(rf"\.(?:{names})\.\d+\.tmp")
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if left.fullmatch(entry.name):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        os.remove(entry.path)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if not from_caller(e):
            e.filename = path
        raise


class _Bounded(io.RawIOBase):
    """A file as it is unpacked. UserError, while it is read: it unpacks to more than a text or a table could."""

    def __init__(self, path: PathLike, packed_bytes: int, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._most = max(FREE_BYTES, MOST_TIMES * packed_bytes)

    @property
    def inside(self) -> IO[bytes]:
        """The file that unpacks."""
        return self._file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        if self._file.tell() > self._most:
            raise UserError(
                f"{os.fspath(self._path)}: unpacks to more than {self._most:,} bytes, which no packed text of its size "
                "does; if that is meant, unpack it and give the plain file"
            )
        return len(data)


def bounded(path: PathLike, file: IO[bytes]) -> IO[bytes]:
    """The file that unpacks `path`, made to stop at `MOST_TIMES` the size of the packed file."""
    return cast(IO[bytes], io.BufferedReader(_Bounded(path, stat_of(path).st_size, file), 1 << 16))


def inside(file: Any) -> Any:
    """What a file of `bounded` reads; the file itself where it is another."""
    raw = getattr(file, "raw", None)
    return raw.inside if isinstance(raw, _Bounded) else file


def write_text(path: PathLike, text: str) -> None:
    """Writes a UTF-8 file, whole or not at all. Raises OSError."""
    with atomic(path) as f:
        f.write(text.encode())


def write_json(path: PathLike, value: Any, indent: int = 2) -> None:
    """Writes indented JSON, whole or not at all. Raises OSError; ValueError for a NaN or an infinity."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def parse_json(text: str | bytes, **options: Any) -> Any:
    """`json.loads`. Raises ValueError, also for values nested too deep for Python's parser."""
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_json(path: PathLike, advice: str = "restore it, or choose another workdir") -> dict[str, Any] | None:
    """The JSON object in a file; None where there is no file. UserError: the file has no JSON object, with `advice`."""
    if (
        not in_bucket(path) and to_path(path).exists() and not to_path(path).is_file()
    ):  # to read a pipe would wait for ever
        raise UserError(f"{path}: not a regular file; {advice}")
    try:
        with open_read(path) as f:
            value = parse_json(f.read())
        if not isinstance(value, dict):
            raise ValueError(f"a {type(value).__name__}")
        return value
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as e:
        raise UserError(f"{path}: not a JSON object ({e}); {advice}") from None
