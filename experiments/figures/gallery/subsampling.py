"""Objectives with and without subsampling of frequent words: accuracy by kind of analogy, and time."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, Step, read_object
from w2v_jax.figures import sweeps
from w2v_jax.figures.analogies import KINDS
from w2v_jax.figures.published import beside
from w2v_jax.papers import NUMBERS, PAPERS

SEEDS = (0, 1)
OBJECTIVES = {"NEG-5": "model.negatives=5", "NEG-15": "model.negatives=15", "HS-Huffman": "model.loss=hierarchical"}
THRESHOLDS = {"none": "0", "1e-3": "1e-3", "1e-4": "1e-4", "1e-5": "1e-5"}
# Theirs: the thresholds that they have, as their table and ours name them.
THEIRS = {"none": "without subsampling", "1e-5": "with subsampling"}
_NAMES = {"semantic": "semantic", "syntactic": "syntactic", "total": "analogies"}
_TIME = "seconds"
_TEXT = "--config.data.source=text:{run}/wiki.txt --config.data.tokens=letters --config.data.heldout_every=0"


def _sweep() -> Step:
    """Every objective with every threshold."""
    objectives, samples = ";".join(OBJECTIVES.values()), ";".join(f"model.sample={t}" for t in THRESHOLDS.values())
    flags = f"--config=configs/skipgram.py --workdir={{run}}/sweep --vary={objectives} --vary={samples}"
    flags += f" --seeds={','.join(map(str, SEEDS))} --data_dir={{word_eval}} --config.log.tensorboard=False {_TEXT}"
    return Step("experiments.sweep", f"{flags} --config.train.passes=1", "--config.")


def _of(run: Any) -> dict[str, str]:
    """The objective and the threshold of a run."""
    given = {f"{key}={value}" for key, value in run["changes"].items()}
    objective = next(name for name, change in OBJECTIVES.items() if change in given)
    threshold = next(name for name, value in THRESHOLDS.items() if f"model.sample={value}" in given)
    return {"objective": objective, "threshold": threshold}


def collect(run: Path) -> dict[str, Any]:
    """Scores and seconds of every run."""
    runs = [
        _of(one)
        | {"seed": one["seed"], "asked": one["scores"]["asked"], _TIME: round(one["seconds"], 3)}
        | {kind: round(one["scores"][kind], 4) for kind in KINDS}
        for one in read_object(run / "sweep" / "sweep.json")["runs"]
    ]
    return {"runs": runs}


def cells(result: Result, key: str) -> dict[tuple[str, str], list[float]]:
    """{(objective, threshold): a value for each seed} of a kind of question; of the time the least of them, as other
    work on the machine can only add to it."""
    out: dict[tuple[str, str], list[float]] = {(o, t): [] for o in OBJECTIVES for t in THRESHOLDS}
    for run in result["runs"]:
        if run[key] is not None:  # a time that was measured beside other work
            out[run["objective"], run["threshold"]].append(float(run[key]))
    return {cell: [min(values)] for cell, values in out.items() if values} if key == _TIME else out


def measure(result: Result) -> dict[str, float]:
    """Means over seeds in per cent; seconds of the fastest."""
    return {
        f"{objective}, {threshold}: {key}": statistics.fmean(values)
        for key in (*KINDS, _TIME)
        for (objective, threshold), values in cells(result, key).items()
    }


def theirs(objective: str, key: str) -> list[tuple[float, list[float]]]:
    """Published points, by the place of the threshold; times are shares of that of NEG-5 without subsampling."""
    base = NUMBERS["mikolov_b", "minutes, NEG-5, without subsampling"].value
    points = []
    for place, threshold in enumerate(THRESHOLDS):
        name = f"{'minutes' if key == _TIME else _NAMES[key]}, {objective}, {THEIRS.get(threshold)}"
        if ("mikolov_b", name) in NUMBERS:
            value = NUMBERS["mikolov_b", name].value
            points.append((float(place), [value / base if key == _TIME else value]))
    return points


def draw(result: Result, out: str, source: str) -> None:
    """A panel for each kind of question, and one for the time."""
    panels = []
    for key in (*KINDS, _TIME):
        found = cells(result, key)
        base = found["NEG-5", "none"][0] if key == _TIME else 1.0
        lines = []
        for i, objective in enumerate(OBJECTIVES):
            points = [
                (x, [v / base for v in found[objective, t]])
                for x, t in enumerate(THRESHOLDS)
                if (objective, t) in found
            ]
            lines.append(sweeps.Line(f"{objective}, ours", points, i))
        lines += [
            sweeps.Line(f"{objective}, published", theirs(objective, key), i, theirs=True)
            for i, objective in enumerate((*OBJECTIVES, "NCE-5"))
        ]
        unit = "time, NEG-5 without subsampling = 1" if key == _TIME else "questions answered, %"
        title = "Time" if key == _TIME else key.capitalize()
        ticks: dict[float, str] = dict(enumerate(THRESHOLDS))
        panels.append(sweeps.Panel(title, "subsampling threshold", unit, lines, ticks, log_y=key == _TIME))
    sweeps.draw(panels, out, source)


_DIFFERS = "theirs on 1,000 M words of news, d = 300"
FIGURE = Figure(
    shows="objectives with and without subsampling: analogies by kind, and time",
    paper=PAPERS["mikolov_b"].source,
    recipe=(
        Step("benchmarks.text", "--shards={wiki_en.0[0-3].txt} --out={run}/wiki.txt"),
        _sweep(),
    ),
    data="English Wikipedia, 4 shards, 6,463,689 words; d = 100, one pass",
    seed=SEEDS,
    collect=collect,
    measure=measure,
    draw=draw,
    numbers=tuple(
        beside("mikolov_b", f"{_NAMES[kind]}, {o}, {words}", f"{o}, {threshold}: {kind}", differs=_DIFFERS)
        for o in OBJECTIVES
        for threshold, words in THEIRS.items()
        for kind in KINDS
    ),
)
