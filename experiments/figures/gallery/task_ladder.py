"""Accuracy on tasks, forecast by compute and loss before the larger runs were made, beside what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures.figure import Figure, Result, read_object, rounded, study
from experiments.figures.studies import read
from w2v_jax.figures.task_ladder import draw as draw_ladder
from w2v_jax.papers import cited
from w2v_jax.scaling.records import Record

COMMITTED = Path(__file__).resolve().parents[3] / "results" / "forecasts"
# By name: the forecast, and the folders of the runs that it rests on and of those that came.
STUDIES = {
    "first forecast": ("tasks.json", ("small", "large")),
    "second forecast, agreement certain at the best possible loss": ("tasks_second.json", ("small", "largest")),
}


def collect(run: Path) -> dict[str, Any]:
    """The two studies of agreement, as `by_study`."""
    return by_study(STUDIES, run)


def by_study(studies: Mapping[str, tuple[str, Sequence[str]]], run: Path) -> dict[str, Any]:
    """By study: loss and tasks of the runs, the curves and the forecasts as they are committed."""
    found = {}
    for name, (file, folders) in studies.items():
        forecast = read_object(COMMITTED / file)
        (law,) = forecast["laws"].values()
        rows = read(run, *folders)
        targets = {t["config_hash"]: t for t in forecast["targets"]}
        curves = {task: curve for task, curve in law["tasks"].items() if isinstance(curve, dict)}
        found[name] = {
            "runs": [_kept(r, curves) for r in rows if r.run in law["runs"] and r.config_hash not in targets],
            "came": [_kept(r, curves) for r in rows if r.config_hash in targets and r.scores],
            "curves": curves,
            "targets": [{key: t[key] for key in ("run", "times", "tasks", "loss")} for t in targets.values()],
        }
    return {"studies": found}


def _kept(r: Record, tasks: dict[str, Any]) -> dict[str, Any]:
    shares = {name: float(rounded(np.asarray(r.scores[name]))) for name in tasks}
    return {"run": r.run, "heldout_loss": r.heldout_loss, "tasks": shares}


def measure(result: Result) -> dict[str, float]:
    """By study, target and task the points that the forecast is off; how many are inside, and within a point."""
    found = dict[str, float]()
    for name, part in result["studies"].items():
        came = {row["run"]: row for row in part["came"]}
        made = [t for t in part["targets"] if t["run"] in came]
        inside = near = asked = 0
        for t in made:
            shares = came[t["run"]]["tasks"]
            for task, (value, low, high) in t["tasks"].items():
                off = 100 * (value - shares[task])
                found[f"{name}, {t['run']}, {task}: points off"] = off
                asked, inside, near = asked + 1, inside + (low <= shares[task] <= high), near + (abs(off) <= 1.0)
        counts = {"forecasts": asked, "inside": inside, "within a point": near}
        found |= {f"{name}: {what}": float(n) for what, n in counts.items()}
    return found


def draw(result: Result, out: str, source: str) -> None:
    """Two panels for each study."""
    draw_ladder(result["studies"], out, source=source)


FIGURE = Figure(
    shows="accuracy on six tasks forecast for runs 10, 30 and 100 times as large, and what came",
    paper=cited("olmo"),
    recipe=tuple(
        study(f"configs/scaling/{config}.py", folder=part)
        for config, part in (("ladder", "small"), ("ladder_large", "large"), ("ladder_largest", "largest"))
    ),
    data="the generated language of configs/scaling/ladder.py, at most 7 million words; 50,011 held out",
    seed=(0, 1, 2, 3),
    collect=collect,
    measure=measure,
    draw=draw,
)
