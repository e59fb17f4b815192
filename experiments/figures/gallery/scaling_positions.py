"""Loss by position in the context, of the largest run of each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures.figure import Figure, Result
from experiments.figures.studies import KEYS, WIKI, WIKI_DATA, arms, read
from w2v_jax.figures.scaling_study import draw_positions
from w2v_jax.papers import cited
from w2v_jax.scaling import analysis
from w2v_jax.scaling.records import Record


def _longest(arms: Mapping[str, Sequence[Record]]) -> list[Record]:
    return [r for own in arms.values() if (r := analysis.read_longest(own))]


def collect(run: Path) -> dict[str, Any]:
    """The run of each arm whose loss by position is drawn."""
    made = _longest(analysis.by_arm(analysis.usable(read(run))))
    curve = {r.run: [round(x, 5) for x in r.by_position or ()] for r in made}
    return {"runs": [{key: getattr(r, key) for key in KEYS} | {"by_position": curve[r.run]} for r in made]}


def _curves(result: Result, name: str) -> dict[str, np.ndarray]:
    """Curves by `name`, with {arm} and {parameters} filled in."""
    made = _longest(arms(result, (*KEYS, "by_position")))
    return {name.format(arm=r.arm, parameters=r.parameters): np.array(r.by_position, np.float64) for r in made}


def measure(result: Result) -> dict[str, float]:
    """Nats per token by which every arm is behind the best, by span."""
    best, rest = analysis.behind(_curves(result, "{arm}"))
    return {f"{arm} above {best}, tokens {a} to {b}": nats for arm, spans in rest.items() for a, b, nats in spans}


def draw(result: Result, out: str, source: str) -> None:
    """Left, the losses; right, the distances from the best arm."""
    curves = _curves(result, "{arm}, {parameters:,} parameters")
    best, _ = analysis.behind(curves)
    draw_positions(curves, out, beside=best, source=source)


FIGURE = Figure(
    shows="held-out loss on Wikipedia by position in the context, transformer and LSTM",
    paper=f"{cited('kaplan')}, figure 7",
    recipe=WIKI,
    data=WIKI_DATA,
    collect=collect,
    measure=measure,
    draw=draw,
)
