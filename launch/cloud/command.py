"""What can be told of the command of a run before anything is bought: its config, and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from launch.cloud import ship
from launch.cloud.plan import Machine
from w2v_jax.errors import UserError, nearest


def _value(argv: Sequence[str], flag: str) -> str:
    """The value of a flag of the command, as --flag=VALUE or --flag VALUE; empty when it is not given."""
    found = ""
    for i, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name in (f"--{flag}", f"-{flag}"):
            found = value if equals else next(iter(argv[i + 1 : i + 2]), "")
    return found


def check_config(argv: Sequence[str], root: Path) -> None:
    """UserError: `python -m MODULE --config=FILE` with a file that is not among those that are shipped."""
    file = _value(argv, "config").partition(":")[0]  # what follows a colon is for the config itself
    if not file or "-m" not in argv or not Path(argv[0]).name.startswith("python"):
        return
    shipped = ship.files(root)
    if Path(file).as_posix() not in shipped:
        known = [name for name in shipped if name.endswith(Path(file).suffix or ".py")]
        raise UserError(f"--config={file}: is not in the checkout that is shipped, {root}{nearest(file, known)}")


def warning(argv: Sequence[str], machine: Machine, ends: bool) -> str:
    """One line where the folder of the run is lost with its machine, or its hosts share none; empty otherwise. `ends`:
    the launcher deletes the machine, or makes it again."""
    folder = _value(argv, "workdir")
    if not folder or folder.startswith("gs://"):
        return ""
    why = []
    if machine.spot or ends:
        why.append("it is lost with the machine")
    if machine.workers > 1:
        why.append(f"the {machine.workers} hosts share no disk")
    if not why:
        return ""
    return f"warning: --workdir={folder} is on the disk of the machine: {', and '.join(why)}; take gs://BUCKET/FOLDER"
