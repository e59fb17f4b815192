"""The best learning rate by size, under the scale rule and under the standard parametrisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, study
from experiments.figures.studies import read
from w2v_jax.figures.scaling_study import draw_rates
from w2v_jax.scaling.records import Record
from w2v_jax.scaling.transferred import Tried, tried

_KEPT = ("run", "arm", "family", "status", "seed", "parameters", "parameters_without_embeddings", "tokens")


def collect(run: Path) -> dict[str, Any]:
    """The runs of the study, as `rows`."""
    return {"runs": rows(read(run))}


def rows(runs: Sequence[Record], title: str = "{}") -> list[dict[str, Any]]:
    """What a picture of rates needs of each run, those that diverged included; the arm's name goes into the title."""
    found = []
    for r in runs:
        kept = {key: getattr(r, key) for key in (*_KEPT, "heldout_loss")}
        own = {"arm": title.format(r.arm), "learning_rate": r.config["optimizer"]["learning_rate"]}
        found.append(kept | own)
    return found


def _arms(result: Result) -> Mapping[str, Sequence[Tried]]:
    rest: dict[str, Any] = {"config_hash": "", "revision": "", "flops_per_token": 0.0, "training_flops": 0.0}
    runs = []
    for row in result["runs"]:
        kept = {key: value for key, value in row.items() if key != "learning_rate"}
        runs.append(Record(**(rest | kept), config={"optimizer": {"learning_rate": float(row["learning_rate"])}}))
    return {arm: sizes for (arm, _), sizes in tried(runs).items()}


def measure(result: Result) -> dict[str, float]:
    """By arm: both best rates, and the regret of the smallest size's at the largest, in per cent of the loss."""
    found = dict[str, float]()
    for arm, sizes in _arms(result).items():
        small, large = sizes[0], sizes[-1]
        rate = float(small.rates[small.best])
        found[f"{arm}: times the weights"] = large.without_embeddings / small.without_embeddings
        found[f"{arm}: best rate of the smallest"] = rate
        found[f"{arm}: best rate of the largest"] = float(large.rates[large.best])
        found[f"{arm}: regret, %"] = 100.0 * large.regret(rate)
    return found


def draw(result: Result, out: str, source: str, across: int = 3, standard_last: bool = True) -> None:
    """A panel for each arm, so many beside one another; in the order of the runs, or the standard ones last."""
    arms = _arms(result)
    order = sorted(arms, key=lambda arm: arm.endswith("_standard")) if standard_last else arms
    panels = {
        arm: {f"{size.parameters:,} parameters": (size.rates, size.losses) for size in arms[arm]} for arm in order
    }
    draw_rates(panels, out, source=source, across=across)


FIGURE = Figure(
    shows="loss by learning rate and size, under a scale rule and without",
    paper="Yang et al. 2022, arXiv 2203.03466; Dey et al. 2025, arXiv 2505.01618",
    recipe=(study("configs/scaling/transfer.py", "--config.seeds=(0,)"),),
    data="the generated language of configs/scaling/transfer.py, 500,000 words",
    seed=0,
    collect=collect,
    measure=measure,
    draw=draw,
    numbers=(),
)
