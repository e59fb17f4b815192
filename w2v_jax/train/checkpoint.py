"""Checkpoints: asynchronous, atomic, checked by digest when restored.

A checkpoint is a folder named by its step. Orbax writes it under a temporary name and renames it when it is complete: a
killed write never looks like a checkpoint. Beside the arrays lies a JSON record with the name, type, shape and digest
of every leaf, the caller's own values (`meta`), and a digest of the record itself.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from w2v_jax.errors import UserError
from w2v_jax.storage import in_bucket, move_tree, to_path
from w2v_jax.train import stored, world
from w2v_jax.train.failed_write import as_oserror, release_waiting
from w2v_jax.train.fingerprint import check_fits, fingerprint, kind, leaf_names, seal
from w2v_jax.train.logs import tell
from w2v_jax.train.orbax_noise import silence_orbax
from w2v_jax.train.retention import NewestAndBest, lowest
from w2v_jax.train.stored import Damaged, everywhere
from w2v_jax.types import Say

Found = tuple[int, Any, dict[str, Any]]  # step, state, meta
Check = Callable[[Mapping[str, Any]], object]


class NoneIntact(UserError):
    """All checkpoints of a run are damaged."""


class Checkpointer:
    """Saves and restores train states in one folder.

    It keeps the newest `keep` checkpoints, the one with the lowest held-out loss, and that of step `pinned`. Every
    process of a run makes one and calls the same methods in the same order; process 0 cleans up.

    Args:
      directory: local path or `gs://` address; made if missing. UserError: it is a file.
      asynchronous: `save` returns once the state is copied to the host; the files are written later.
      read_only: for evaluation during training: nothing is made, cleaned up, moved or deleted.
      warn: takes one line for each damaged checkpoint.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep: int = 1,
        pinned: int | None = None,
        asynchronous: bool = True,
        read_only: bool = False,
        warn: Say = tell,
    ) -> None:
        silence_orbax()
        self.directory = _folder(directory)
        if self.directory.exists() and not self.directory.is_dir():
            raise UserError(f"{self.directory}: is a file, but checkpoints need a folder: choose another workdir")
        self._warn, self._read_only = warn, read_only
        self._losses: dict[int, float] = {}
        self._damaged: set[int] = set()
        self._unranked: list[int] = []  # what a damaged record said of them is lost, the loss too
        self._saving: int | None = None
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                create=not read_only,
                read_only=read_only,
                cleanup_tmp_directories=not read_only,
                enable_async_checkpointing=asynchronous,
                lightweight_initialize=True,  # orbax would otherwise fail to open a folder with damaged JSON in it
                preservation_policy=NewestAndBest(keep, self._losses, pinned),
            ),
        )
        for step in self._manager.all_steps():
            try:
                self._note_loss(step, stored.record(self.directory / str(step))["loss"])
            except Damaged:
                self._unranked.append(step)  # reported when it is restored

    def save(
        self, step: int, state: Any, meta: Mapping[str, Any], loss: float | None = None, block: bool = False
    ) -> bool:
        """Starts writing a checkpoint, after the one before is finished; False if an intact one of this step exists.

        Args:
          state: pytree of jax arrays, which may be donated at once.
          meta: JSON values that return with the state.
          loss: held-out loss; a checkpoint without a finite one is never the best.
          block: return only when the checkpoint is committed.

        Raises:
          OSError: this write or the one before failed, e.g. for lack of space; older checkpoints are intact.
        """
        if self._read_only:
            raise ValueError("a read-only Checkpointer cannot save")
        self.wait()
        for bad in sorted(self._damaged):  # they block their own step and would count as newest
            self._manager.delete(bad)
            self._damaged.discard(bad)
        if step in self._manager.all_steps():
            return False
        digests = fingerprint(state)  # before the arrays leave the device, so that any later damage shows
        leaves = {name: [*kind(leaf), digests[name]] for name, leaf in leaf_names(state).items()}
        record = {"step": step, "loss": loss, "meta": dict(meta), "leaves": leaves}
        self._note_loss(step, loss)
        self._saving = step
        try:
            args = ocp.args.Composite(state=ocp.args.PyTreeSave(_shared(state)), meta=ocp.args.JsonSave(seal(record)))
            self._manager.save(step, args=args, force=True)
        except Exception as e:
            self._fail(e)
        if block:
            self.wait()
        return True

    def restore_part(self, part: str, target: Any, step: int | None = None) -> Found | None:
        """As `restore`, but only the subtree `part` (such as `params`), of any intact checkpoint or of `step` alone."""
        steps = self.steps()
        if step is not None and step not in steps:
            raise UserError(f"{self.directory}: has no checkpoint of step {step}; it has {steps or 'none'}")
        return _part(part, self._restore(steps[::-1] if step is None else [step], {part: target}, f"{part}/"))

    def restore_best(self, part: str, target: Any) -> Found | None:
        """As `restore_part`, of the checkpoint with the lowest held-out loss. A damaged one gives way to the next best,
        and then to the newest that was not scored."""
        steps = self.steps()
        scored = sorted((step for step in steps if step in self._losses), key=lambda step: self._losses[step])
        # One whose loss is not known may have been the best: it is tried first, so that its damage is told.
        unknown = [step for step in steps if step in self._unranked]
        order = [*unknown, *scored, *(step for step in reversed(steps) if step not in self._losses)]
        return _part(part, self._restore(list(dict.fromkeys(order)), {part: target}, f"{part}/"))

    def restore_step(self, step: int, target: Any, check: Check = lambda meta: None) -> Found | None:
        """As `restore`, of this step alone. NoneIntact: it is damaged or gone, and this is read-only."""
        return self._restore([step], target, check=check)

    def metas(self) -> dict[int, dict[str, Any]]:
        """`meta` of every checkpoint whose record is intact, by step."""
        found = {}
        for step in self.steps():
            with contextlib.suppress(Damaged):
                found[step] = dict(stored.record(self.directory / str(step))["meta"])
        return found

    def latest_step(self) -> int | None:
        """The newest step on disk that is not known to be damaged; waits for a running write."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """The step with the lowest held-out loss, None without any; waits for a running write."""
        return lowest([step for step in self.steps() if step in self._losses], self._losses)

    def latest_meta(self) -> dict[str, Any] | None:
        """`meta` of the newest checkpoint whose record is intact; None without one. `restore` warns of damaged ones."""
        return next(reversed(self.metas().values()), None)

    def wait(self) -> None:
        """Returns when nothing is being written. Raises OSError if the last write failed."""
        try:
            self._manager.wait_until_finished()
        except Exception as e:
            self._fail(e)
        self._saving = None

    def close(self) -> None:
        """Waits and ends the threads. Raises OSError if the last write failed."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def __enter__(self) -> Checkpointer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self.close()
        except OSError as e:
            if kind is None:
                raise
            self._warn(f"warning: {e.filename}: {e.strerror}")  # must not hide the exception that ends the block
        finally:
            if kind is not None and issubclass(kind, KeyboardInterrupt):  # it may have cut a save in the middle
                release_waiting()

    def steps(self) -> list[int]:
        """The steps on disk that are not known to be damaged, rising; waits for a running write."""
        self.wait()
        return [step for step in sorted(self._manager.all_steps()) if step not in self._damaged]

    def restore(self, target: Any, check: Check = lambda meta: None) -> Found | None:
        """(step, state, meta) of the newest intact checkpoint; None when there is none.

        `target` is the saved structure as a tree of `jax.ShapeDtypeStruct` with shardings, whatever devices wrote it.
        Every leaf is compared with its digest. A damaged checkpoint gives one warning, the one before is tried, and the
        next `save` deletes it. Where all are damaged they are moved into a folder beside this one, with a warning: the
        run starts again. `check` raises for the `meta` of another run, of whatever state its arrays are.

        UserError: other leaves, shapes or types (the first is named); or all are damaged, and this is read-only.
        """
        found = self._restore(self.steps()[::-1], target, check=check)
        best = None if found is None else found[2].get("best")  # (loss, step), where the caller keeps it
        for step in set(self._unranked) - self._damaged:  # older than the one found, so nothing has told it yet
            self._damaged.add(step)
            if best is None or best[1] == step:  # else a process may have died while it removed it
                self._warn(
                    f"warning: checkpoint {step} in {self.directory} is damaged (its record cannot be read); its "
                    "held-out loss is lost, and if it was the best, the best of those left takes its place"
                )
        return found

    def _restore(
        self, order: Sequence[int], target: Any, prefix: str = "", check: Check = lambda meta: None
    ) -> Found | None:
        """The first intact checkpoint in `order`; leaves outside of `prefix` may be left out of `target`."""
        for step, following in itertools.zip_longest(order, order[1:]):
            try:
                folder = self.directory / str(step)
                record = stored.record(folder)
                check(record["meta"])
                check_fits(str(folder), record["leaves"], target, prefix)
                return step, stored.arrays(folder, record, target, partial=bool(prefix)), record["meta"]
            except Damaged as e:
                self._damaged.add(step)
                then = "none is left" if following is None else f"trying {following}"
                if following is None and not self._read_only:
                    then += f": all are moved to {self._set_aside(order)}, and the run starts again"
                self._warn(f"warning: checkpoint {step} in {self.directory} is damaged ({e}); {then}")
        if order and self._read_only:
            names = ", ".join(str(step) for step in sorted(order))
            raise NoneIntact(
                f"{self.directory}: no intact checkpoint (damaged: {names}): to train it again, remove result.json, "
                "if it has one, and repeat its command"
            )
        return None

    def _set_aside(self, steps: Sequence[int]) -> epath.Path:
        """Moves damaged checkpoints out of the way, as something in them may be worth saving. Returns where to."""
        aside = self.directory.with_name(f"{self.directory.name}.damaged")
        if world.index() == 0:
            while aside.exists():  # of an earlier start
                aside = aside.with_name(f"{aside.name}.older")
            if not in_bucket(aside):
                aside.mkdir()
            for step in steps:
                move_tree(self.directory / str(step), aside / str(step))
        everywhere(True)  # no process looks before the first has moved them
        self._manager.reload()
        self._damaged.clear()
        self._unranked.clear()
        self._losses.clear()
        return aside

    def _note_loss(self, step: int, loss: float | None) -> None:
        if loss is not None and math.isfinite(loss):
            self._losses[step] = float(loss)

    def _fail(self, e: Exception) -> NoReturn:
        """Forgets a failed write and raises its error, as OSError where the system gave one."""
        if self._saving is not None:
            self._losses.pop(self._saving, None)
        where = str(self.directory if self._saving is None else self.directory / str(self._saving))
        self._saving = None
        release_waiting()
        self._manager.reload()  # orbax had already removed the checkpoints that this one was to replace from its list
        found = as_oserror(e, where)
        if found is None:
            raise e
        raise found from e


def _folder(directory: str | os.PathLike[str]) -> epath.Path:
    """The whole path of a folder; an address has no other form."""
    return epath.Path(to_path(directory) if in_bucket(directory) else to_path(directory).resolve())


def _shared(state: Any) -> Any:
    """The state with arrays that each process has whole, of its own, as numpy: of several processes the first writes
    them. Orbax refuses such arrays on devices."""
    if world.count() == 1:
        return state
    return jax.tree.map(lambda x: np.asarray(x) if getattr(x, "is_fully_addressable", False) else x, state)


def _part(part: str, found: Found | None) -> Found | None:
    """What was found, with the subtree alone."""
    return found and (found[0], found[1][part], found[2])
