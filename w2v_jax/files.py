"""Files that are written whole or not at all, and JSON files with one-line errors."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import IO, Any

from w2v_jax.errors import UserError

PathLike = str | os.PathLike[str]


@contextlib.contextmanager
def atomic(path: PathLike) -> Iterator[IO[bytes]]:
    """A binary file that gets its name when it is complete; a failed write leaves nothing behind.

    A link is followed, so that the file behind it is replaced. A device or a pipe is written to, never replaced.

    Raises:
      OSError: the write failed. `filename` is set, also where the system does not set it, as on a full disk.
    """
    given, path = os.fspath(path), os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        with _named(given), open(path, "wb") as f:
            yield f
        return
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    try:
        with _named(given):
            with open(part, "wb") as f:
                yield f
            os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            os.remove(part)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        e.filename = path
        raise


def write_text(path: PathLike, text: str) -> None:
    """Writes a UTF-8 file, whole or not at all. Raises OSError."""
    with atomic(path) as f:
        f.write(text.encode())


def write_json(path: PathLike, value: Any, indent: int = 2) -> None:
    """Writes indented JSON, whole or not at all. Raises OSError; ValueError for a NaN or an infinity."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def read_json(path: PathLike) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is no file. UserError: the file has no JSON object."""
    try:
        with open(path, encoding="utf-8") as f:
            value = json.load(f)
        if not isinstance(value, dict):
            raise ValueError(f"a {type(value).__name__}")
        return value
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as e:
        raise UserError(f"{path}: not a JSON object ({e}); restore it, or choose another workdir") from None
