"""result.json of a run folder: what a finished run found, with digests of that and of the files that it exported.

    {"steps": ..., "loss": ..., "exports": {"vectors.bin": SHA-256, ...}, "sha256": SHA-256 of the rest}

Runs of older versions have neither digest, and are not checked.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.files import PathLike, read_json, write_json
from w2v_jax.storage import expanded, in_bucket, real, sha256_of, to_path

RESULT, CONFIG, CHECKPOINTS = "result.json", "config.json", "checkpoints"
DIGEST, EXPORTS = "sha256", "exports"  # keys of result.json


def write_result(workdir: Path, result: Mapping[str, Any], files: Iterable[str]) -> None:
    """Writes result.json with the digests of `files`, names relative to the run folder. Raises OSError."""
    whole = {**result, EXPORTS: {name: sha256_of(workdir / name) for name in files}}
    write_json(workdir / RESULT, whole | {DIGEST: _digest(json.loads(json.dumps(whole)))})


def _read(workdir: Path) -> dict[str, Any] | None:
    found = read_json(workdir / RESULT)
    if found is not None and found.pop(DIGEST, None) not in (None, _digest(found)):
        raise UserError(
            f"{workdir / RESULT}: does not match its own digest: damaged or edited; remove it and run the training "
            "command again, which makes it from the checkpoint"
        )
    return found


def read_result(workdir: Path) -> dict[str, Any] | None:
    """The result of a finished run, without digests; None of another. UserError: the file is damaged."""
    found = _read(workdir)
    if found is not None:
        found.pop(EXPORTS, None)
    return found


def family_of(workdir: Path) -> str | None:
    """The family of the run whose own folder this is; None of any other folder. UserError: its config is damaged."""
    config = read_json(workdir / CONFIG)
    family = config.get("family") if isinstance(config, dict) and "model" in config else None
    return None if family is None else str(family)


def damaged(workdir: Path) -> list[str]:
    """Exported files of a finished run that are gone or differ from what was written. UserError: see `read_result`."""
    return [name for name, digest in _exports(workdir).items() if not _intact(workdir / name, digest)]


def check(path: PathLike) -> None:
    """Compares a file with its digest where it is one that a run has exported into its folder; reads all of it, at
    about a gigabyte a second. UserError: it differs, or the folder's result.json is damaged."""
    given = to_path(path if in_bucket(path) else os.path.abspath(expanded(path)))
    for place in {given, to_path(real(given))}:  # a link to such a file, and a link in the place of one
        workdir, name = place.parent, place.name
        if not (workdir / CONFIG).is_file():
            continue  # no run folder
        digest = _exports(workdir).get(name)
        if digest is not None and not _intact(place, digest):
            again = "the run's training command writes it again from the checkpoint"
            gone = "no checkpoint is left to write it from: train the model again, in another workdir"
            cure = again if has_checkpoint(workdir) else gone
            raise UserError(f"{os.fspath(path)}: does not match its digest in {RESULT}: damaged or edited; {cure}")


def check_free(files: Iterable[str]) -> None:
    """UserError: one of the files to be written is one that a run has exported into its folder."""
    for file in files:
        given = to_path(file if in_bucket(file) else os.path.abspath(expanded(file)))
        for place in {given, to_path(real(given))}:
            if (place.parent / CONFIG).is_file() and place.name in _exports(place.parent):
                raise UserError(f"{file}: a file of the run in this folder, which stays as it is; give another name")


def has_checkpoint(workdir: Path) -> bool:
    """Whether a complete checkpoint stands in the run folder."""
    folder = workdir / CHECKPOINTS
    return folder.is_dir() and any(step.name.isdigit() for step in folder.iterdir())


def _exports(workdir: Path) -> dict[str, str]:
    found = (_read(workdir) or {}).get(EXPORTS)
    return found if isinstance(found, dict) else {}


def _intact(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def _digest(result: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()
