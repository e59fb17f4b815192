"""The contents of a gallery file: what the figure shows, the published numbers, its recipe, and three functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.figures.published import Published
from w2v_jax.files import read_json

DIGITS = 5  # significant, of vectors and curves: more than a picture shows

# Overrides of configs/skipgram.py for the vectors of several figures.
LARGE_VECTORS = (
    *("model.dim=300", "model.segment=128", "optimizer.learning_rate=0.2", "optimizer.initial_square=0.0"),
    "data.tokens=letters",
)

Result = Mapping[str, Any]  # of JSON values; each figure has a shape of its own


class Step(NamedTuple):
    """One command of a recipe: `python -m MODULE FLAGS`.

    In the flags, {run} is the folder of the run. Every other {NAME} is a file, a folder or a glob below --data, where
    files may also end in .xz or .gz.
    """

    module: str
    flags: str  # quoted as in a shell
    takes: str = ""  # prefix that makes --set=KEY=VALUE a flag, '--config.' or '--'; empty where it is not passed on
    may_end: tuple[int, ...] = (0,)  # exit statuses with results


def train(config: str, folder: str, *overrides: str) -> Step:
    """Training in {run}/FOLDER; `overrides` are KEY=VALUE of its config."""
    flags = [f"--config={config} --workdir={{run}}/{folder}", *(f"--config.{change}" for change in overrides)]
    return Step("experiments.train", " ".join(flags), "--config.")


def evaluate(folder: str, flags: str = "") -> Step:
    """Scores the training in {run}/FOLDER; writes evaluation.json there."""
    return Step("experiments.evaluate", f"--workdir={{run}}/{folder} {flags}")


def study(config: str, flags: str = "", folder: str = "study") -> Step:
    """A scaling study in {run}/FOLDER. Status 1, a fitted floor that misses the optimum, is a result too."""
    whole = f"--config={config} --workdir={{run}}/{folder} {flags}"
    return Step("experiments.scaling", whole, "--config.", may_end=(0, 1))


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure; its name is that of its file."""

    shows: str
    paper: str  # citation, or the reason for none
    recipe: tuple[Step, ...]
    data: str
    collect: Callable[[Path], dict[str, Any]]  # (folder of a finished recipe) -> result
    measure: Callable[[Result], dict[str, float]]  # our numbers by name
    draw: Callable[[Result, str, str], object]  # (result, picture, small print) writes it; never trains
    numbers: tuple[Published, ...] = ()
    seed: int | tuple[int, ...] = 0


def rounded(values: np.ndarray) -> Any:
    """Nested lists of the values in DIGITS significant digits."""
    return np.vectorize(lambda x: float(f"{x:.{DIGITS}g}"), otypes=[float])(values).tolist()


def read_object(path: Path, *left_out: str) -> dict[str, Any]:
    """A JSON object without some of its keys. UserError: a missing or another file."""
    value = read_json(path)
    if value is None:
        raise UserError(f"{path}: no such file; did the recipe end? the same command continues it")
    return {key: entry for key, entry in value.items() if key not in left_out}


def file(name: str, *left_out: str) -> Callable[[Path], dict[str, Any]]:
    """Collects a file of results as it is, without some of its keys."""
    return lambda run: read_object(run / name, *left_out)
