"""Loss by position in the context, of the largest run of each arm."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures.figure import Figure, Result
from experiments.figures.studies import KEYS, WIKI, WIKI_DATA, arms, read
from w2v_jax.figures import scaling_study
from w2v_jax.files import PathLike
from w2v_jax.papers import KAPLAN
from w2v_jax.scaling import analysis
from w2v_jax.scaling.records import Record

_KEPT = (*KEYS, "by_position")


def _longest(arms: dict[str, list[Record]]) -> dict[str, Record]:
    return {arm: r for arm, own in arms.items() if (r := analysis.read_longest(own))}


def collect(run: Path) -> dict[str, Any]:
    """Of each arm the run whose loss by position is drawn."""
    made = map(dataclasses.asdict, _longest(analysis.by_arm(analysis.usable(read(run)))).values())
    kept = [{key: row[key] for key in _KEPT} for row in made]
    return {"runs": [row | {"by_position": [round(x, 5) for x in row["by_position"]]} for row in kept]}


def _curves(result: Result) -> tuple[dict[str, np.ndarray], dict[str, Record]]:
    longest = _longest(arms(result, _KEPT))
    return {arm: np.array(r.by_position, np.float64) for arm, r in longest.items()}, longest


def measure(result: Result) -> dict[str, float]:
    """How far every arm is behind the best, span by span, in nats a token."""
    best, rest = analysis.behind(_curves(result)[0])
    return {f"{arm} above {best}, tokens {a} to {b}": nats for arm, spans in rest.items() for a, b, nats in spans}


def draw(result: Result, out: PathLike, source: str) -> None:
    """Left the losses, right the distances from the best arm."""
    curves, longest = _curves(result)
    name = {arm: f"{arm}, {r.parameters:,} parameters" for arm, r in longest.items()}
    shown = {name[arm]: curve.tolist() for arm, curve in curves.items()}
    best, _ = analysis.behind(curves)
    scaling_study.draw_positions(shown, out, beside=name[best], source=source)


FIGURE = Figure(
    shows="held-out loss on Wikipedia by position in the context, transformer and LSTM",
    paper=f"{KAPLAN.cited}, figure 7",
    recipe=WIKI,
    data=WIKI_DATA,
    collect=collect,
    measure=measure,
    draw=draw,
)
