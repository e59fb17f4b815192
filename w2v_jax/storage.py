"""Paths of files, on a disk or in a bucket of Google Cloud Storage (`gs://BUCKET/NAME`).

A bucket has no folders, no renaming, no appending and no locks: an object is written whole, under its name, or not at
all. Listing and reading goes through `etils.epath` over gcsfs, as in Orbax. `STORAGE_EMULATOR_HOST` names another
server, for tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from w2v_jax.errors import UserError

PathLike = str | os.PathLike[str]
SCHEME = "gs://"
# Google's rules: https://cloud.google.com/storage/docs/buckets#naming and .../objects#naming
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_INSTALL = "pip install -e '.[gcs]'"

# etils would otherwise take TensorFlow where it is installed, which knows no emulator and hides errors in other types.
# It looks once, at the first path of any kind.
_ETILS = os.environ.setdefault("EPATH_USE_TF", "false")


class Stat(NamedTuple):
    """What tells one content of a name from another, named as in `os.stat_result`."""

    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_ino: int = 0
    st_mtime: float = 0.0  # 0: an object never changes under its generation
    st_ctime: float = 0.0


def in_bucket(path: PathLike) -> bool:
    """Whether a path names a bucket. UserError: another scheme, a malformed address or a name no bucket can have."""
    name = os.fspath(path)
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|gs:", name):
        return False
    if not name.startswith(SCHEME):
        if name.startswith("gs:"):
            raise UserError(f"{name}: write {SCHEME}BUCKET/NAME, with two slashes")
        raise UserError(f"{name}: only {SCHEME} is read and written, and paths of this machine")
    _check_address(name)
    return True


def expanded(path: PathLike) -> str:
    """The path with the home folder in the place of `~`, which a shell leaves as it is after `--workdir=`."""
    return os.path.expanduser(os.fspath(path))


def to_path(path: PathLike) -> Path:
    """`pathlib.Path` of a local path, with `~` replaced; for `gs://` the same interface over the bucket. UserError: as
    `in_bucket`."""
    if not in_bucket(path):
        return Path(expanded(path))
    _connected()
    from etils import epath

    return cast(Path, epath.Path(path))


def real(path: PathLike) -> str:
    """The path without links; the address in a bucket."""
    # Path.resolve would raise RuntimeError for links in a circle.
    return os.fspath(path) if in_bucket(path) else os.path.realpath(expanded(path))


def name_of(path: PathLike) -> str:
    """The last part of a path."""
    name = expanded(path)
    return os.path.basename(name.rstrip("/") if in_bucket(name) else os.path.abspath(name))


def open_read(path: PathLike) -> IO[bytes]:
    """A binary file to read and seek in. OSError."""
    if not in_bucket(path):
        return open(expanded(path), "rb")
    return cast(IO[bytes], _connected().open(os.fspath(path), "rb"))


def sha256_of(path: PathLike) -> str:
    """SHA-256 of the content of a file."""
    with open_read(path) as f:
        return hashlib.file_digest(cast(Any, f), "sha256").hexdigest()


def read_bytes(path: PathLike) -> bytes:
    """The whole content. OSError."""
    return cast(bytes, _connected().cat_file(os.fspath(path))) if in_bucket(path) else to_path(path).read_bytes()


def read_range(path: PathLike, begin: int, end: int) -> bytes:
    """Bytes begin..end-1 of an object. OSError."""
    return cast(bytes, _connected().cat_file(os.fspath(path), start=begin, end=end))


def put(local: PathLike, target: PathLike) -> None:
    """Copies a file of this machine to an object, which gets its name when it is complete. OSError."""
    _connected().put_file(os.fspath(local), os.fspath(target))


def write_bytes(target: PathLike, data: bytes) -> None:
    """Writes an object whole. OSError."""
    _connected().pipe_file(os.fspath(target), data)


def write_if(target: PathLike, data: bytes, generation: int) -> int:
    """Writes an object whole if it still has this generation, 0 where there must be none; returns the new one.

    FileExistsError: another process was faster. OSError.
    """
    return cast(int, _connected().write_if(os.fspath(target), data, generation))


def check_writable(folder: PathLike) -> None:
    """Writes an object into a folder of a bucket, and removes it. OSError."""
    probe = f"{os.fspath(folder).rstrip('/')}/.writable.{os.getpid()}"
    write_bytes(probe, b"")
    _connected().rm_file(probe)


def stat(path: PathLike) -> os.stat_result | Stat:
    """Size and times of change; of an object its generation, which each write raises. OSError."""
    if not in_bucket(path):
        return os.stat(expanded(path))
    info = _connected().info(os.fspath(path))
    if info["type"] != "file":
        return Stat(0, 0, 0)
    generation = int(info.get("generation") or 0)
    return Stat(int(info["size"]), generation, generation)


def listing(pattern: PathLike) -> list[str]:
    """The objects that a glob matches, sorted; those below it, where it names a folder. OSError."""
    fs, name = _connected(), os.fspath(pattern)
    found = fs.glob(name) if re.search(r"[*?\[]", name) else [name.removeprefix(SCHEME)]
    files: set[str] = set()
    for hit in found:
        if fs.isfile(hit):
            files.add(hit)
        else:
            below = (f for f in fs.find(hit) if not f.endswith("/"))
            files.update(f for f in below if not any(part.startswith(".") for part in f[len(hit) :].split("/")))
    return [SCHEME + f for f in sorted(files)]


def remove_tree(path: PathLike) -> None:
    """Removes a folder and all in it, if it is there. OSError: of a bucket alone."""
    if not in_bucket(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(FileNotFoundError):
        _connected().rm(os.fspath(path), recursive=True)


def move_tree(path: PathLike, target: PathLike) -> None:
    """Moves a folder. In a bucket its objects are copied and then removed, as nothing can be renamed. OSError."""
    if not in_bucket(path):
        os.rename(path, target)
        return
    _connected().copy(os.fspath(path), os.fspath(target), recursive=True)
    remove_tree(path)


def local_copy(path: PathLike) -> str:
    """A file of this machine with the content of `path`: itself, or the copy of an object in the local cache.

    Copies are named by the address and the generation, so that a changed object is fetched again. OSError.
    """
    name = expanded(path)
    if not in_bucket(name):
        return name
    generation = cast(Stat, stat(name)).st_ctime_ns
    key = hashlib.sha256(f"{name} {generation}".encode()).hexdigest()[:32]
    target = local_cache() / "fetched" / key / name.rsplit("/", 1)[-1]
    if not target.exists():
        fetch([name], target.parent)
    return str(target)


def local_folder(path: PathLike) -> str:
    """A folder of this machine with the files of `path`: itself, or a new copy of a folder of a bucket. OSError."""
    name = expanded(path)
    if not in_bucket(name) or not to_path(name).is_dir():
        return name
    files = [f for f in listing(name) if "/" not in f.removeprefix(name.rstrip("/") + "/")]
    marks = " ".join(f"{f} {stat(f).st_ctime_ns}" for f in files)
    target = (
        local_cache() / "fetched" / hashlib.sha256(marks.encode()).hexdigest()[:32] / name.rstrip("/").split("/")[-1]
    )
    if not target.exists():
        fetch(files, target)
    return str(target)


def fetch(names: Sequence[str], folder: Path) -> None:
    """Copies objects into a folder of this machine that appears when all are there. OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".fetching-", dir=folder.parent))
    try:
        for name in names:
            _connected().get_file(name, str(work / name.rsplit("/", 1)[-1]))
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def local_cache() -> Path:
    """$W2V_JAX_CACHE, else ~/.cache/w2v_jax. UserError: it names a bucket."""
    root = os.environ.get("W2V_JAX_CACHE") or "~/.cache/w2v_jax"
    if in_bucket(root):
        raise UserError(
            f"W2V_JAX_CACHE={root}: must be a folder of this machine; set data.cache_dir={root} to share it"
        )
    return Path(real(root))


@contextlib.contextmanager
def spool(target: PathLike) -> Iterator[IO[bytes]]:
    """A local file that is sent to `target` as one object at the end of the block; nothing is sent after an error."""
    in_bucket(target)
    with tempfile.NamedTemporaryFile(prefix="w2v_jax-") as file:
        yield cast(IO[bytes], file)
        file.flush()
        put(file.name, target)


def bucket_of(address: str) -> str:
    """The bucket of a `gs://` address. UserError: Cloud Storage has no bucket of that name."""
    name = address.removeprefix(SCHEME).split("/", 1)[0]
    parts = name.split(".")
    short = all(0 < len(part) <= 63 for part in parts)
    if not (_BUCKET.fullmatch(name) and short) or name.startswith("goog") or re.fullmatch(r"[0-9.]+", name):
        need = "3 to 63 small letters, digits, hyphens, underscores or dots, a letter or digit first and last"
        raise UserError(f"{address!r}: {name!r} is no name of a bucket: {need}")
    return name


def _check_address(name: str) -> None:
    """UserError: no bucket or no object can have this address."""
    key = name.removeprefix(SCHEME + bucket_of(name)).removeprefix("/")
    if len(key.encode("utf-8", "replace")) > 1024 or not key.isprintable() or re.search(r"(^|/)\.\.?(/|$)", key):
        raise UserError(f"{name}: not the name of an object: printable, at most 1,024 bytes, without '.' or '..' parts")


def _connected() -> Any:
    """The file system of gs://, set up once per process. UserError: gcsfs is not installed."""
    if importlib.util.find_spec("gcsfs") is None:
        raise UserError(f"gs:// needs gcsfs: {_INSTALL}")
    logging.getLogger("fsspec").setLevel(logging.WARNING)
    for name in ("gcsfs", "google.auth"):  # they log the traceback of every request that failed
        logging.getLogger(name).setLevel(logging.CRITICAL)
    from w2v_jax.buckets import connected

    return connected()
