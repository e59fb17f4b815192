"""What the committed results of scaling studies hold; see `experiments.rebuild`.

Each record has 'runs': of every finished run of the study the values of the keys that its figure needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.rebuild import Drawing
from w2v_jax.figures import scaling_study
from w2v_jax.scaling import analysis
from w2v_jax.scaling.records import FINISHED, Record
from w2v_jax.scaling.results import Fit

FAMILIES = ("run", "arm", "family", "seed", "parameters", "tokens", "training_flops", "heldout_loss", "optimum")


def _runs(result: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, list[Record]]:
    rest: dict[str, Any] = {"status": FINISHED, "config_hash": "", "config": {}, "revision": ""}
    rest |= {"parameters_without_embeddings": 0, "flops_per_token": 0.0}
    return analysis.by_arm([Record(**{key: row[key] for key in keys}, **rest) for row in result["runs"]])


def families(result: Mapping[str, Any]) -> Drawing:
    """Loss by size and by training FLOPs; where the best possible loss is known, the distance from it."""
    arms = _runs(result, FAMILIES)
    runs = [r for own in arms.values() for r in own]
    laws = [analysis.laws(arm, analysis.usable(own)) for arm, own in arms.items()]
    measured: dict[str, float] = {}
    for law in laws:
        values = law.parametric.values if isinstance(law.parametric, Fit) else {}
        measured |= {f"{law.arm}: {name}": values[name].value for name in ("E", "alpha", "beta") if name in values}
    measured |= {f"{floor.arm}: miss": floor.miss for floor in analysis.floors(laws, runs)}
    sizes, costs = {}, {}
    for arm, own in arms.items():
        n, _, _, loss = analysis.columns(analysis.at_most_tokens(own))
        sizes[arm] = (n, loss)
        _, _, c, loss = analysis.columns(own)
        costs[arm] = (c, loss)
        measured[f"{arm}: lowest loss"] = float(loss.min())
    best = runs[0].optimum
    return Drawing(
        measured, lambda out, source: scaling_study.draw_families(sizes, costs, out, optimum=best, source=source)
    )
