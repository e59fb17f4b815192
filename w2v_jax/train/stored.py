"""What one checkpoint holds, read and compared with its digests: a JSON record and arrays.

With `checkpoint.py` the only files that import orbax.
"""

from __future__ import annotations

import errno
import gc
import re
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from w2v_jax.train import world
from w2v_jax.train.fingerprint import fingerprint, seal
from w2v_jax.train.orbax_noise import one_error_only

# Temporary errors, after which the same files may be readable: no reason to delete a checkpoint.
_PASSING = {errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT, errno.EREMOTEIO}
_REFUSED = re.compile("PERMISSION_DENIED|UNAVAILABLE|DEADLINE_EXCEEDED|UNAUTHENTICATED|RESOURCE_EXHAUSTED")


class Damaged(Exception):
    """A checkpoint that cannot be trusted; the message is the reason."""


def record(folder: epath.Path) -> dict[str, Any]:
    """The JSON record of the checkpoint in a folder named by its step.

    Raises Damaged unless it agrees with its own digest.
    """
    sealed = _read(folder / "meta", ocp.JsonCheckpointHandler(), ocp.args.JsonRestore())
    found = sealed.get("record") if isinstance(sealed, dict) else None
    intact = isinstance(found, dict) and sealed == seal(found) and found.get("step") == int(folder.name)
    if not everywhere(intact):
        raise Damaged("its record does not match its digest")
    assert isinstance(found, dict)
    return found


def arrays(folder: epath.Path, record: Mapping[str, Any], target: Any, partial: bool) -> Any:
    """The arrays of a checkpoint as `target` says, or with `partial` some of them.

    Raises Damaged unless each agrees with its digest in the record.
    """
    args = ocp.args.PyTreeRestore(
        item=target,
        restore_args=ocp.checkpoint_utils.construct_restore_args(target),
        partial_restore=partial,
    )
    state = _read(folder / "state", ocp.PyTreeCheckpointHandler(), args)
    for name, value in fingerprint(state).items():
        if not everywhere(value == record["leaves"][name][2]):
            raise Damaged(f"{name} does not match its digest")
    return state


def _read(folder: epath.Path, handler: ocp.CheckpointHandler, args: ocp.args.CheckpointArgs) -> Any:
    """One item of a checkpoint, or Damaged on every process.

    The handler alone reads it: the manager waits for all processes, forever if one of them has a damaged file.
    """
    problem, found = "", None
    with one_error_only():
        try:
            found = handler.restore(folder, args=args)
        except (MemoryError, PermissionError, jax.errors.JaxRuntimeError):
            raise  # the files may be intact
        except Exception as e:  # a damaged file can cause any error in the readers
            if _REFUSED.search(str(e)) or getattr(e, "errno", None) in _PASSING:
                raise
            problem = f"{type(e).__name__}: {' '.join(str(e).split())[:160]}"
        if problem:
            gc.collect()  # abandoned reads print an error when collected: now, while that is muted
    if not everywhere(not problem):
        raise Damaged(problem or "another process could not read it")
    return found


def everywhere(ok: bool) -> bool:
    """Whether `ok` holds on every process, so that all take the same branch."""
    return not world.largest(not ok)
