"""The two-step ladder from compute to accuracy: eight tasks of a published model, forecast from its smaller runs."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.figures.figure import Figure, Result, Step, file
from experiments.scaling import published, published_ladder
from w2v_jax.figures import published_fits
from w2v_jax.figures.published import beside
from w2v_jax.papers import cited
from w2v_jax.scaling.fitted import Value


def _rows(result: Result) -> Mapping[str, published.Row]:
    return {row.number: row for row in published.of_json(result) if row.paper == published_ladder.PAPER}


def measure(result: Result) -> dict[str, float]:
    """Our forecasts, how many points each is off, and how many intervals hold what came."""
    rows, came = _rows(result), {task: float(its["accuracy"]) for task, its in result["came"].items()}
    found = {number: row.ours.value for number, row in rows.items()}
    ours: dict[str, Value] = {task: rows[f"{task}, accuracy"].ours for task in came}
    found |= {f"{task}, points off": 100 * (ours[task].value - share) for task, share in came.items()}
    return found | {"intervals that hold what came": float(sum(ours[task].covers(x) for task, x in came.items()))}


def draw(result: Result, out: str, source: str) -> None:
    """A line for each task."""
    rows = _rows(result)
    ours = {number: row.ours for number, row in rows.items()}
    theirs = {number: row.published for number, row in rows.items()}
    shown = published_ladder.pairs(ours, theirs, result["came"])
    published_fits.draw(shown, out, what="accuracy", source=source)


FIGURE = Figure(
    shows="accuracy of a 13 B model on eight tasks, forecast from runs of up to 1.3 B, and what came",
    paper=cited("olmo"),
    recipe=(Step("experiments.scaling", "--published={scaling} --out={run}/fits"),),
    data="checkpoints of 16 runs of the OLMo ladder and of the 13 B model, which the authors published",
    collect=file("fits/published.json", "surfaces"),
    measure=measure,
    draw=draw,
    numbers=tuple(
        beside("olmo", f"{task}, accuracy", f"{task}, accuracy", what=f"accuracy, {task}")
        for task in published_ladder.TASKS
    ),
)
