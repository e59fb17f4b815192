"""Folders of the cache: built aside, sealed with the digest of every file, renamed into place, checked when opened."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.files import parse_json

_STALE_SECONDS = 86_400.0
_META = "meta.json"
BLOCK, LONG = 1 << 24, 1 << 26  # bytes: of a block, and from which a token file has digests of its blocks


def key_of(parts: Any) -> str:
    """SHA-256 of plain values, the same for equal ones."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def blocks_of(path: Path) -> list[str]:
    """SHA-256 of each `BLOCK` bytes of a file."""
    with open(path, "rb") as f:
        return [hashlib.sha256(data).hexdigest() for data in iter(lambda: f.read(BLOCK), b"")]


@contextlib.contextmanager
def building(root: Path) -> Iterator[Path]:
    """A private folder in `root` for one build, removed at the end unless it was renamed; so are those that killed
    runs left a day ago."""
    for old in root.glob("building-*"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="building-", dir=root))
    try:
        yield work
    except OSError as e:
        raise OSError(e.errno, e.strerror or str(e), e.filename or str(root)) from e
    finally:
        shutil.rmtree(work, ignore_errors=True)


def seal(work: Path, meta: dict[str, Any]) -> None:
    """Writes meta.json: `meta` with the digest of every file of the folder, and its own; of long token files with those
    of their blocks, which another machine fetches one by one."""
    files = sorted(work.iterdir())
    long = [p for p in files if p.suffix == ".tokens" and p.stat().st_size > LONG]
    blocks = {"blocks": {"size": BLOCK, "files": {p.name: blocks_of(p) for p in long}}} if long else {}
    meta = json.loads(json.dumps(meta | blocks | {"files": {p.name: digest_of(p) for p in files}}))
    (work / _META).write_text(json.dumps(meta | {"sha256": key_of(meta)}), encoding="utf-8")


def unseal(home: Path, needed: str = "sha256") -> dict[str, Any]:
    """The record of a sealed folder, in which older versions lacked the key `needed`.

    Every file is compared with its digest: a flipped bit would train other vectors without a word. A file that has
    digests of its blocks may be absent. OSError, ValueError, KeyError or TypeError: absent or damaged.
    """
    meta: dict[str, Any] = parse_json((home / _META).read_text(encoding="utf-8"))
    if needed not in meta:
        raise ValueError("meta.json: as older versions wrote it")
    if meta.pop("sha256") != key_of(meta):
        raise ValueError("meta.json: does not match its digest")
    for name, digest in meta["files"].items():
        if name in blocks_in(meta) and not (home / name).exists():
            continue
        if digest_of(home / name) != digest:
            raise ValueError(f"{name}: does not match its digest")
    return meta


def blocks_in(meta: dict[str, Any]) -> dict[str, list[str]]:
    """The digests of blocks, by file."""
    found: dict[str, list[str]] = meta.get("blocks", {}).get("files", {})
    return found


def put(work: Path, home: Path) -> None:
    """Renames a sealed folder into place, unless another run has put its own there first."""
    with contextlib.suppress(OSError):
        os.rename(work, home)


def discard(home: Path) -> None:
    """Removes a damaged folder, or the link to it: what that names may be another's."""
    if home.is_symlink():
        home.unlink()
    shutil.rmtree(home, ignore_errors=True)


def damaged_at_once(home: Path) -> UserError:
    """The error where a folder cannot be opened right after it was written."""
    return UserError(f"{home}: damaged right after it was written; check the disk, or set data.cache_dir")
