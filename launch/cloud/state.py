"""What the launcher remembers of a machine: one small JSON file for each name, written atomically."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch.cloud import names
from launch.cloud.plan import Machine
from w2v_jax.errors import UserError
from w2v_jax.files import write_json


@dataclasses.dataclass
class Record:
    """A machine and its run. Times are seconds since 1970."""

    machine: Machine
    until: float = 0.0  # when the paid hours are over; 0: no machine has been asked for
    queued: float = 0.0  # paid seconds of a request that was not seen ACTIVE yet; they do not run in the queue
    max_hours: float = 24.0
    asked: float = 0.0  # when it was asked for last
    argv: list[str] = dataclasses.field(default_factory=list)  # of the run
    run_id: str = ""
    commit: str = ""
    tree: str = ""  # git's name of the shipped files: the commit with what was not committed
    tries: int = 0
    progress: int = -1  # the last step that was seen
    outcome: str = ""  # how the run ended, one sentence; empty while it has not
    trouble: list[str] = dataclasses.field(default_factory=list)  # of the last command: its kind, sentence and next
    done: bool = False  # it ended well
    withdrawn: bool = False  # `down` or Ctrl-C: nothing may be made again
    adopted: bool = False  # another folder made the machine: only that one knows when it deletes itself

    def hours_left(self, now: float) -> float:
        """Of the machine; 0 where they are over or have not begun, or where nobody here knows them."""
        return 0.0 if self.queued or self.adopted else max(0.0, (self.until - now) / 3600)


class Folder:
    """The files of one state folder, by default ~/.w2v_jax/tpu."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        if not re.fullmatch(r"[^-,:\n][^,:\n]*", str(self.path)):
            raise UserError(
                f"--state_dir={str(path)!r}: gcloud cannot take files from there; name a folder without comma and "
                "colon, that does not begin with a hyphen"
            )

    def file(self, name: str) -> Path:
        return self.path / f"{names.check_name(name)}.json"

    def room(self, name: str) -> Path:
        """The folder for what belongs to a machine: its shipped source, logs, stacks."""
        return self.path / names.check_name(name)

    def names(self) -> list[str]:
        return sorted(f.stem for f in self.path.glob("[a-z]*.json"))

    def load(self, name: str) -> Record | None:
        """The record; None when the name is unknown. UserError: the file is damaged."""
        file = self.file(name)
        try:
            values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return Record(**{**values, "machine": Machine(**values["machine"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError, UserError) as e:
            why = " ".join(str(e).split())[:200]
            raise UserError(
                f"{file}: is damaged ({why}); delete it and run up {name} again, with its flags and --adopt"
            ) from None

    def known(self, name: str) -> Record:
        """The record. UserError: there is none."""
        record = self.load(name)
        if record is None:
            known = ", ".join(self.names()) or "none"
            raise UserError(f"no machine {name!r} in {self.path} (known: {known}): run up {name} first, with its flags")
        return record

    def save(self, record: Record) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.file(record.machine.name), dataclasses.asdict(record), indent=1)

    def forget(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.file(name).unlink()

    @contextlib.contextmanager
    def alone(self, name: str, what: str, wait: bool = False) -> Iterator[None]:
        """Holds the lock `what` of a machine. UserError: another command holds it, unless `wait`."""
        self.room(name).mkdir(parents=True, exist_ok=True)
        with open(self.room(name) / f"{what}.lock", "a+") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as e:
                if e.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                f.seek(0)
                owner = f.read().strip() or "another command"
                raise UserError(f"{name}: {owner} works on it; follow it with attach, or end it with down") from None
            f.truncate(0)
            f.write(f"process {os.getpid()}")
            f.flush()
            yield
