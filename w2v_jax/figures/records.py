"""The committed results of a figure: a small JSON file with its data and their origin."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.files import PathLike, parse_json, write_text
from w2v_jax.storage import open_read

_MEND = "restore it: git checkout -- results/figures"
_TYPES: dict[str, Any] = dict.fromkeys(("command", "data", "machine", "note", "commit"), str)
_TYPES |= {"seed": int | list, "result": dict}


@dataclasses.dataclass(frozen=True)
class Record:
    """The results of one or more runs for a figure."""

    command: str  # that produced the numbers
    data: str
    seed: int | list[int]
    machine: str
    result: dict[str, Any]  # of JSON values; each figure has a shape of its own
    note: str = ""
    commit: str = ""  # of the code, with + where files were changed; empty where unknown

    def about(self) -> list[str]:
        """Data, seeds and machine."""
        seeds = f"seeds {', '.join(map(str, self.seed))}" if isinstance(self.seed, list) else f"seed {self.seed}"
        return [self.data, seeds, self.machine]

    def small_print(self, name: str) -> str:
        """The line below a picture: data, seed, machine, and the commands that measured and drew."""
        facts = [*([self.note] if self.note else []), *self.about()]
        code = f" at commit {self.commit}" if self.commit else ""
        return "; ".join([*facts, f"from {self.command}{code}", f"drawn by python -m experiments.figures {name}"])


def read(path: PathLike) -> Record:
    """Reads a record. UserError: no file or JSON, a NaN or infinity, a key missing, unknown or of another type."""
    name = os.fspath(path)
    try:
        with open_read(name) as f:
            value = parse_json(f.read(), parse_constant=_refuse)
    except (FileNotFoundError, NotADirectoryError):
        hint = "--results is the folder results/figures of a clone of the repository"
        raise UserError(f"{name}: no such file; {hint}") from None
    except ValueError as e:
        raise UserError(f"{name}: not JSON ({e}); {_MEND}") from None
    if not isinstance(value, dict):
        raise UserError(f"{name}: must be a JSON object, not a {type(value).__name__}; {_MEND}")
    for key, kind in _TYPES.items():
        if key in value and (not isinstance(value[key], kind) or isinstance(value[key], bool)):
            raise UserError(f"{name}: key {key!r} must be a {getattr(kind, '__name__', kind)}; {_MEND}")
        if key not in value and key not in ("note", "commit"):
            raise UserError(f"{name}: key {key!r} is missing; {_MEND}")
    strange = next((key for key in value if key not in _TYPES), None)
    if strange is not None:
        raise UserError(f"{name}: key {strange!r} is unknown; {_MEND}")
    return Record(**value)


def damaged(path: PathLike, error: Exception) -> UserError:
    """The error for a result that lacks the shape that its figure draws."""
    return UserError(f"{os.fspath(path)}: key 'result' is not what this figure draws ({why(error)}); {_MEND}")


def why(error: Exception) -> str:
    """Why a result could not be read, in one line."""
    missing = isinstance(error, KeyError) and error.args
    return f"key {error.args[0]!r} is missing" if missing else " ".join(str(error).split())


def write(path: PathLike, record: Record) -> None:
    """Writes a record, whole or not at all. ValueError: a NaN or an infinity. OSError: the file cannot be written."""
    text = json.dumps(dataclasses.asdict(record), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}")
