"""Files that belong together, such as vectors and their words: replaced so that old and new are never mixed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from w2v_jax.files import part_of
from w2v_jax.storage import in_bucket, put, to_path


@contextlib.contextmanager
def together(path: str, targets: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """{target: where to write it}; the files get their names at the end, and a target that was not written is removed.

    A new folder `path` of all targets appears complete. Else files are replaced, and the last target, without which the
    others are not read, goes first and comes last: one who reads meanwhile, or after the power failed, finds all of the
    old, all of the new, or that file missing. A write that fails leaves the old files. Raises OSError naming `path`.
    """
    far = in_bucket(path)
    whole = not far and not os.path.isdir(path) and all(os.path.dirname(target) == path for target in targets)
    try:
        with contextlib.ExitStack() as stack:
            if far:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="w2v_jax-"))
            elif whole:
                folder = part_of(path)
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                os.mkdir(folder)
            if far or whole:
                parts = {target: os.path.join(folder, os.path.basename(target)) for target in targets}
            else:
                parts = {target: part_of(os.path.realpath(target)) for target in targets}
                for part in parts.values():
                    stack.callback(_remove, part)
            yield parts
            if whole:
                os.replace(folder, path)
            else:
                _replace(parts)
    except OSError as e:
        e.filename = path
        raise


def _replace(parts: Mapping[str, str]) -> None:
    *others, last = parts
    for target in parts:
        if not in_bucket(target) and os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    to_path(last).unlink(missing_ok=True) if in_bucket(last) else _remove(os.path.realpath(last))
    for target in (*others, last):
        written = os.path.exists(parts[target])
        if in_bucket(target):
            put(parts[target], target) if written else to_path(target).unlink(missing_ok=True)
        elif written:
            os.replace(parts[target], os.path.realpath(target))
        else:
            _remove(target)


def _remove(file: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(file)
