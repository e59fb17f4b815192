"""Losses forecast before the runs were made, beside what came."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, Step, read_object, study
from experiments.figures.studies import KEYS, read
from w2v_jax.figures.forecasts import draw as draw_forecasts

FOLDER = Path(__file__).resolve().parents[3] / "results" / "forecasts"
FORECASTS = {
    "sum, from the small runs": ("wiki.json",),
    "sum, the run at 10 times known": ("wiki_second.json",),
    "joint, from the small runs": ("wiki_fourth.json",),
    "joint, the run at 10 times known": ("wiki_fifth.json",),
    "joint, the run at 30 times known": ("wiki_sixth.json",),
}


def on_wikipedia(small: str, large: str) -> tuple[Step, ...]:
    """The recipe of two configs: the runs that the laws rest on, and those that are forecast."""
    text = "--config.data.source=text:{wiki_en.*.txt}"
    return tuple(study(f"configs/scaling/{name}.py", text, part) for name, part in ((small, "small"), (large, "large")))


def collect(run: Path, committed: Mapping[str, Sequence[str]], extra: Sequence[str] = ()) -> dict[str, Any]:
    """The runs that the laws rest on, the forecasts as they are committed, by name, and the losses that came; `extra`
    are further keys of each run."""
    kept = (*KEYS, "heldout_loss", "config_hash", *extra)
    rows = {}
    for part in ("small", "large"):
        rows[part] = [{key: getattr(r, key) for key in kept} for r in read(run, part) if r.heldout_loss is not None]
    about = ("run", "config_hash", "training_flops", "times", "loss")
    files = {
        name: [t for each in some for t in read_object(FOLDER / each)["targets"]] for name, some in committed.items()
    }
    forecasts = {name: [{key: t[key] for key in about} for t in targets] for name, targets in files.items()}
    return {"runs": rows["small"], "came": rows["large"], "forecasts": forecasts}


def measure(result: Result) -> dict[str, float]:
    """By forecast and run that was made: forecast over what came, less 1, in per cent; and how many were inside.

    ValueError: one forecast has two targets of the same FLOPs and seed.
    """
    came = {row["config_hash"]: float(row["heldout_loss"]) for row in result["came"]}
    found, inside, made = dict[str, float](), 0, 0
    for name, targets in result["forecasts"].items():
        for target in targets:
            value, low, high = target["loss"]
            if target["config_hash"] in came:
                loss, seed = came[target["config_hash"]], target["run"].rpartition("_s")[2]
                key = f"{name}, {target['training_flops']:.3g} FLOPs, seed {seed}: error, %"
                if key in found:
                    raise ValueError(f"two targets are {key}")
                found[key] = 100.0 * (value / loss - 1.0)
                inside, made = inside + (low <= loss <= high), made + 1
    return found | {"inside": float(inside), "forecasts of runs that were made": float(made)}


FIGURE = Figure(
    shows="losses forecast for runs 10, 30 and 100 times as large by two laws, and what came",
    paper="none: the forecasts were committed before their runs",
    recipe=on_wikipedia("forecast_wiki", "forecast_wiki_large"),
    data="English Wikipedia (spring 2015), 2,048 byte pairs, at most 24.4 million tokens read once; 254,936 held out",
    seed=(0, 1),
    collect=functools.partial(collect, committed=FORECASTS),
    measure=measure,
    draw=draw_forecasts,
)
