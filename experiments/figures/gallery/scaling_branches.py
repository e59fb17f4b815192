"""One trunk a size with a decay for each amount of text, beside a run for each: losses, exponents, cost."""

from __future__ import annotations

import functools
import json

import numpy as np

from experiments.figures import studies
from experiments.figures.figure import Figure, Result, study
from w2v_jax.figures import branches
from w2v_jax.papers import cited
from w2v_jax.scaling import analysis
from w2v_jax.scaling.fitted import Fit, Value
from w2v_jax.scaling.records import Record

KEYS = (*studies.FAMILIES, "made_flops")
GRIDS = ("cosine", "wsd")


@functools.lru_cache(maxsize=2)  # measured and drawn
def _grids(runs: str) -> dict[str, tuple[list[Record], analysis.Laws]]:
    """The runs of each grid, from the rows of a record as JSON, and their laws."""
    arms = studies.arms({"runs": json.loads(runs)}, KEYS)
    return {arm: (arms[arm], analysis.laws(arm, analysis.usable(arms[arm]))) for arm in GRIDS}


def _values(law: analysis.Laws) -> dict[str, Value]:
    """The exponents that could be fitted."""
    powers = {"power of C": law.frontier, "power of D, largest size": law.by_tokens}
    found = {name: fit.values["alpha"] for name, fit in powers.items() if isinstance(fit, Fit)}
    if isinstance(law.parametric, Fit):
        found = {name: law.parametric.values[name] for name in ("alpha", "beta")} | found
    return found


def measure(result: Result) -> dict[str, float]:
    """Exponents and floors with their intervals, how far each value is from the other grid's interval (0: inside), and
    the FLOPs of the trunks and decays as a share of those of whole runs."""
    grids = _grids(json.dumps(result["runs"]))
    both = {arm: _values(law) for arm, (_, law) in grids.items()}
    for arm, (_, law) in grids.items():
        if isinstance(law.parametric, Fit):
            both[arm]["E"] = law.parametric.values["E"]
    found: dict[str, float] = {}
    for arm, other in (GRIDS, GRIDS[::-1]):
        for name, value in both[arm].items():
            found |= {
                f"{arm}: {name}": value.value,
                f"{arm}: {name}, low": value.low,
                f"{arm}: {name}, high": value.high,
            }
            if beside := both[other].get(name):
                found[f"{arm}: {name}, outside the other"] = max(
                    beside.low - value.value, value.value - beside.high, 0.0
                )
    made, whole = (sum(getattr(r, key) for r in grids["wsd"][0]) for key in ("made_flops", "training_flops"))
    return found | {"FLOPs of the trunks and decays, share of whole runs": made / whole}


def draw(result: Result, out: str, source: str) -> None:
    """Left, loss by tokens and size; right, the exponents."""
    grids = _grids(json.dumps(result["runs"]))
    curves = {}
    for arm, (own, _) in grids.items():
        sizes = sorted({r.parameters for r in own})
        rows = {n: sorted((r.tokens, r.heldout_loss) for r in own if r.parameters == n) for n in sizes}
        curves[arm] = {n: (np.array(pairs)[:, 0], np.array(pairs)[:, 1]) for n, pairs in rows.items()}
    first, second = (_values(law) for _, law in grids.values())
    values = {name: (first[name], second[name]) for name in first if name in second}
    branches.draw(curves, values, out, optimum=result["runs"][0]["optimum"], source=source)


FIGURE = Figure(
    shows="scaling laws from one trunk a size and a decay for each amount of text, beside a run for each",
    paper=cited("hagele"),
    recipe=(study("configs/scaling/branches.py"),),
    data="the synthetic language of configs/scaling/synthetic.py, at most 1.02 million words",
    seed=(0, 1),
    collect=studies.collect(*KEYS),
    measure=measure,
    draw=draw,
)
