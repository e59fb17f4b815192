"""GloVe: analogies by kind against the size of the vectors, and against the window on both sides and on the left."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, Step, read_object
from w2v_jax.figures import sweeps
from w2v_jax.figures.analogies import KINDS
from w2v_jax.papers import PAPERS

SEEDS = (0, 1)
SIZES = (25, 50, 100, 200)
WINDOWS = (1, 2, 5, 10)
SIZE, WINDOW = 100, 5  # of the panels in which the other is varied
# By panel: what is varied, and what the others are.
PANELS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "dimensions": ("dim", {"window": WINDOW, "side": "both"}),
    "window on both sides": ("window", {"dim": SIZE, "side": "both"}),
    "window on the left": ("window", {"dim": SIZE, "side": "left"}),
}


def points(panel: str) -> dict[int, dict[str, Any]]:
    """The setting of each point of a panel, by what is varied."""
    key, fixed = PANELS[panel]
    return {value: {key: value, **fixed} for value in (SIZES if key == "dim" else WINDOWS)}


def _sweep() -> Step:
    vary = dict.fromkeys(
        "model.dim={dim},model.window={window},model.side={side}".format(**point)
        for panel in PANELS
        for point in points(panel).values()
    )
    flags = f"--config=configs/glove.py --workdir={{run}}/sweep --vary={';'.join(vary)} --restrict=10000"
    flags += f" --seeds={','.join(map(str, SEEDS))} --data_dir={{word_eval}} --config.log.tensorboard=False"
    flags += " --config.data.source=text:{run}/wiki.txt --config.data.tokens=letters --config.data.heldout_every=0"
    flags += " --config.data.max_vocab=10000 --config.model.x_max=10 --config.train.passes=10"
    return Step("experiments.sweep", flags, "--config.")


def collect(run: Path) -> dict[str, Any]:
    """Scores of every run."""
    runs = []
    for one in read_object(run / "sweep" / "sweep.json")["runs"]:
        given = {key.removeprefix("model."): value for key, value in one["changes"].items()}
        about = {"dim": int(given["dim"]), "window": int(given["window"]), "side": given["side"], "seed": one["seed"]}
        kept = {key: round(one["scores"][key], 5) for key in (*KINDS, "men")}
        runs.append(about | kept | {"asked": one["scores"]["asked"]})
    return {"runs": runs}


def curve(result: Result, panel: str, key: str) -> list[tuple[float, list[float]]]:
    """(what is varied, a score for each seed), rising."""
    return [
        (value, [float(run[key]) for run in result["runs"] if all(run[k] == v for k, v in at.items())])
        for value, at in points(panel).items()
    ]


def measure(result: Result) -> dict[str, float]:
    """Means over seeds: per cent by kind, and Spearman's correlation on MEN."""
    return {
        f"{panel}, {value:g}: {key}": statistics.fmean(values)
        for panel in PANELS
        for key in (*KINDS, "men")
        for value, values in curve(result, panel, key)
    }


def draw(result: Result, out: str, source: str) -> None:
    """A panel for each setting that is varied, a line a kind of question."""
    panels = []
    for panel, (key, _) in PANELS.items():
        lines = [sweeps.Line(kind, curve(result, panel, kind), i) for i, kind in enumerate(KINDS)]
        other = f"window {WINDOW} on both sides" if key == "dim" else f"d = {SIZE}"
        title, ticks = f"By {panel}, {other}", {float(value): str(value) for value in points(panel)}
        x = "dimensions" if key == "dim" else "window, words"
        panels.append(sweeps.Panel(title, x, "questions answered, %", lines, ticks, log_x=True))
    sweeps.draw(panels, out, source)


FIGURE = Figure(
    shows="GloVe: analogies by kind against vector size, window on both sides and window on the left",
    paper=PAPERS["pennington"].source,
    recipe=(Step("benchmarks.text", "--shards={wiki_en.00.txt} --out={run}/wiki.txt"), _sweep()),
    data="English Wikipedia, 1 shard, 1,679,456 words, its 10,000 most frequent words; x_max 10, 10 passes",
    seed=SEEDS,
    collect=collect,
    measure=measure,
    draw=draw,
)
