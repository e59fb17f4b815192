"""The rows of `results.json` that an earlier `experiments.classify` wrote, beside those of this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.classify import kept
from experiments.classify.digests import TEXTS
from experiments.common import predictions
from w2v_jax.errors import UserError
from w2v_jax.evaluation.classification import interval
from w2v_jax.files import read_json

Rows = list[dict[str, Any]]
FOLLOWS = (TEXTS, "majority")  # of what is said about the texts, that which is told apart, or follows from the rest


def finished(file: Path, about: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]]) -> Rows:
    """The rows that an earlier command wrote; `tasks` has the settings by name. UserError: they are of other texts or
    settings."""
    before = read_json(file)
    if before is None:
        return []
    rows = before.get("methods", [])
    settings = {row.get("task"): row.get("settings") for row in rows}
    changed = ["an earlier version"] if None in settings or TEXTS not in before else []
    changed += [key for key in about if key not in FOLLOWS and before.get(key) != about[key]]
    changed += [name for name, wanted in tasks.items() if settings.get(name, wanted) != wanted]
    if changed:
        raise UserError(f"{file}: holds results of other settings ({changed[0]}); choose another --workdir")
    if before[TEXTS] != about[TEXTS]:
        what = "the texts or labels have changed since"
        raise UserError(f"{file}: holds results of other texts ({what}); choose another --workdir")
    # Rows of earlier versions lack the interval.
    return [{"interval": interval(row["accuracy"], about["test_texts"])} | row for row in rows]


def check_names(names: Sequence[str], made: Iterable[str]) -> None:
    """UserError: the predictions of two tasks, of this command or of an earlier one, would be one file."""
    files = {predictions.file_of(name): name for name in made}
    for i, name in enumerate(names):
        file = predictions.file_of(name)
        if name in names[:i] or files.setdefault(file, name) != name:
            raise UserError(f"{name}: another of --methods, --vectors and --run writes {file}, too; write NAME=PATH")


def without_files(folder: Path, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The tasks of rows whose table of predictions or classifier is no longer in the folder."""
    of = (predictions.file_of, kept.file_of)
    return {row["task"] for row in rows if not all((folder / name(row["method"])).is_file() for name in of)}


def replaced(rows: Rows, task: str, made: Rows) -> Rows:
    """The rows with those of a task in the place of its earlier ones, or at the end."""
    place = next((i for i, row in enumerate(rows) if row["task"] == task), len(rows))
    return [*rows[:place], *made, *(row for row in rows[place:] if row["task"] != task)]
