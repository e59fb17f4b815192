"""The OLMo ladder's forecasts of eight tasks, made again from its runs, beside what its model of 13 B came to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.figures.published_fits import Pair
from w2v_jax.scaling.describe import cell
from w2v_jax.scaling.fitted import Value
from w2v_jax.scaling.ladder import LAST, Ladder, Run, climb
from w2v_jax.scaling.run_table import read_columns
from w2v_jax.scaling.where import parse
from w2v_jax.tables import aligned

PAPER = "olmo"
FILE = "olmo_ladder.csv"
TASKS = {
    "MMLU": "mmlu_avg_test",
    "HellaSwag": "hellaswag_val",
    "ARC challenge": "arc_challenge_test",
    "ARC easy": "arc_easy_test",
    "PIQA": "piqa_val",
    "CommonsenseQA": "csqa_val",
    "SocialIQA": "socialiqa_val",
    "OpenBookQA": "openbookqa_test",
}
# The smaller runs that the paper fits: 190 M to 1.3 B parameters on 1 to 10 times Chinchilla's 20 tokens a parameter.
FITTED = tuple(f"{size}-{times}xC" for size in ("190M", "370M", "760M", "1B") for times in (1, 2, 5, 10))
TARGET = "peteish13_eval_full"
NUMBERS = {"bits a byte": "loss", "accuracy by the measured bits": "known", "accuracy": "accuracy"}


class Came(NamedTuple):
    """What the target came to: the means of its last checkpoints, bits per byte and share of right answers."""

    loss: float
    accuracy: float


def read(path: Path, name: str) -> dict[str, Run]:
    """A run on every task, checkpoints in order and without the untrained model. UserError: a bad table."""
    scores = [f"{column}_{score}" for column in TASKS.values() for score in ("bpb", "accuracy")]
    table = read_columns(path, ("parameters", "tokens", *scores), parse(f"run={name},tokens>=1"))
    order = np.argsort(table["tokens"], kind="stable")
    size, length = float(table["parameters"][0]), float(table["tokens"].max())
    return {
        task: Run(size, length, table[f"{column}_bpb"][order], table[f"{column}_accuracy"][order])
        for task, column in TASKS.items()
    }


def forecasts(path: Path, resamples: int = 100) -> dict[str, tuple[Ladder, Came]]:
    """The ladder of every task for the target's size, and what came."""
    runs, target = [read(path, name) for name in FITTED], read(path, TARGET)
    found = {}
    for task, its in target.items():
        came = Came(float(its.loss[-LAST:].mean()), float(its.accuracy[-LAST:].mean()))
        smaller = [run[task] for run in runs]
        found[task] = climb(smaller, its.parameters, its.tokens, came.loss, resamples=resamples), came
    return found


def numbers(found: Mapping[str, tuple[Ladder, Came]]) -> dict[str, Value]:
    """Ours, by the names of the published numbers."""
    return {
        f"{task}, {number}": getattr(ladder, field)
        for task, (ladder, _) in found.items()
        for number, field in NUMBERS.items()
    }


def outcomes(found: Mapping[str, tuple[Ladder, Came]]) -> dict[str, Any]:
    """What came of each task, for the file of results."""
    return {task: came._asdict() for task, (_, came) in found.items()}


def show(ours: Mapping[str, Value], came: Mapping[str, Any]) -> str:
    """The forecasts of accuracy beside what came, as text."""
    table = [["task", "forecast", "came", "points off", "inside"]]
    for task, its in came.items():
        value, share = ours[f"{task}, accuracy"], its["accuracy"]
        off, inside = f"{100 * (value.value - share):+.1f}", "yes" if value.covers(share) else "no"
        table.append([task, cell(value), f"{share:.4f}", off, inside])
    head = f"The OLMo ladder: accuracy of the model of 13 B, forecast from {len(FITTED)} runs of up to 1.3 B:"
    return f"{head}\n{aligned(table)}"


def pairs(ours: Mapping[str, Value], published: Mapping[str, Value], came: Mapping[str, Any]) -> list[Pair]:
    """What the picture shows of each task."""
    names = {task: f"{task}, accuracy" for task in came}
    return [Pair(task, ours[name], published[name], came[task]["accuracy"]) for task, name in names.items()]
