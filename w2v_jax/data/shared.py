"""One build of a cached folder for all who want it: processes of one machine wait for a lock, machines for a claim in a
bucket, from which the others fetch what the first has built."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from w2v_jax import storage
from w2v_jax.data.cache import blocks_in
from w2v_jax.errors import UserError, describe
from w2v_jax.files import parse_json
from w2v_jax.lease import Lease
from w2v_jax.types import Say

META = "meta.json"
_LOOK_S = 2.0  # between two looks for what another machine builds
_TELL_S = 60.0


def local_root(cache_dir: str) -> Path:
    """The folder of this machine that stands for `data.cache_dir`: itself, the local cache for '', and for an address
    in a bucket a folder in the local cache, to which the shared files are copied."""
    if storage.in_bucket(cache_dir):
        return storage.local_cache() / "shared" / hashlib.sha256(cache_dir.rstrip("/").encode()).hexdigest()[:16]
    return Path(storage.real(cache_dir)) if cache_dir else storage.local_cache()


def made_root(cache_dir: str, *inside: str) -> Path:
    """`local_root`, made with these folders in it. UserError: it is a file, or within one, or cannot be made."""
    root = local_root(cache_dir)
    with _as_cache(cache_dir):
        for name in ("", *inside):
            (root / name).mkdir(parents=True, exist_ok=True)
    return root


@contextlib.contextmanager
def _as_cache(cache_dir: str) -> Iterator[None]:
    """Errors of the block say that the cache is meant, and how to name another one."""
    try:
        yield
    except OSError as e:
        local = cache_dir and not storage.in_bucket(cache_dir)
        key = f"data.cache_dir={cache_dir}" if local else f"the cache {local_root(cache_dir)}"
        file = isinstance(e, FileExistsError | NotADirectoryError)
        what = f"{e.filename} is a file, where a folder is needed" if file else describe(e).partition(": choose")[0]
        how = "name another folder" if local else "name another folder by W2V_JAX_CACHE or data.cache_dir"
        raise UserError(f"{key}: {what}; {how}") from None


def fetch(cache_dir: str, target: Path, say: Say) -> None:
    """Copies a file or a sealed folder of the cache in a bucket to its place `target`, if it is there, without the long
    token files (`Remote` fetches what is read of them). OSError."""
    if not storage.in_bucket(cache_dir):
        return
    source, later = address(cache_dir, target), dict[str, list[str]]()
    if target.suffix:
        with contextlib.suppress(FileNotFoundError):
            data = storage.read_bytes(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.fetched")
            part.write_bytes(data)
            part.replace(target)
    elif not target.exists() and storage.to_path(f"{source}/{META}").exists():
        with contextlib.suppress(ValueError):
            later = blocks_in(parse_json(storage.read_bytes(f"{source}/{META}")))
        names = [name for name in storage.listing(source) if name.rsplit("/", 1)[-1] not in later]
        size = sum(storage.stat(name).st_size for name in names)
        say(f"corpus: fetches {size / 1e6:,.0f} MB from {source}")
        storage.fetch(names, target)


def publish(cache_dir: str, made: Path) -> None:
    """Copies a file or a sealed folder into the cache in a bucket, the record of a folder last: its presence says that
    all is there. OSError."""
    if not storage.in_bucket(cache_dir):
        return
    files = sorted(made.iterdir(), key=lambda f: f.name == META) if made.is_dir() else [made]
    for file in files:
        storage.put(file, address(cache_dir, file))


@contextlib.contextmanager
def building_alone(cache_dir: str, note: Path, done: Callable[[], bool], say: Say) -> Iterator[bool]:
    """Until the end of the block no other process builds what `note` names. Where one does, waits until it ends, or
    until `done()` holds, and gives True. UserError: nothing may be written there. OSError."""
    with _as_cache(cache_dir):
        open(note.with_suffix(".lock"), "ab").close()
    with _locked(note.with_suffix(".lock"), say) as waited:
        if storage.in_bucket(cache_dir):
            with _claimed(address(cache_dir, note.with_suffix(".lock")), done, say) as waited_longer:
                yield waited or waited_longer
        else:
            yield waited


@contextlib.contextmanager
def _locked(path: Path, say: Say) -> Iterator[bool]:
    """Holds a lock file of this machine, which goes with the block; gives whether it had to wait."""
    waited = False
    while True:
        file = open(path, "wb")  # noqa: SIM115  (closed below)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            say("corpus: another process of this machine reads the same text; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: two builders do no harm
            pass
        # The one before has removed its file, and another process may hold a new one of that name.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                break
        file.close()
    try:
        yield waited
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        file.close()


@contextlib.contextmanager
def _claimed(address: str, done: Callable[[], bool], say: Say) -> Iterator[bool]:
    """Holds a claim in a bucket; gives whether it had to wait. Where `done()` holds meanwhile, it goes on without."""
    lease, waited, told = Lease(address), False, -_TELL_S
    while not lease.acquire(lambda line: None):
        if done():
            yield True
            return
        if time.monotonic() - told > _TELL_S:
            waited, told = True, time.monotonic()
            say("corpus: another machine reads the same text; waiting for it")
        time.sleep(_LOOK_S)
    try:
        yield waited
    finally:
        lease.release()


def address(cache_dir: str, path: Path) -> str:
    """Where a file or folder of the local root stands in the bucket."""
    return f"{cache_dir.rstrip('/')}/{path.relative_to(local_root(cache_dir)).as_posix()}"
