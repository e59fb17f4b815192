"""Four families on the synthetic language; the intervals of the floors must hold its best possible loss."""

from __future__ import annotations

from experiments.figures.figure import Figure, study
from experiments.figures.studies import FAMILIES, PLATEAU, collect, draw_families, measure_families
from w2v_jax.figures.published import Tolerance, beside

_WITHIN = Tolerance("the 95 % interval must hold the optimum", highest=0.0)
_ZERO = "interval from the optimum"

FIGURE = Figure(
    shows="distance from the best possible loss by parameters and training FLOPs, four families",
    paper="none: the optimum is computed exactly",
    recipe=(study("configs/scaling/synthetic.py"),),
    data="the synthetic language of configs/scaling/synthetic.py, at most 2.5 million words",
    seed=(0, 1),
    collect=collect(*FAMILIES, *PLATEAU),
    measure=measure_families,
    draw=draw_families,
    numbers=tuple(
        beside("optimum", _ZERO, f"{arm}: miss", _WITHIN, what=f"floor of the {arm} law: {_ZERO}")
        for arm in ("transformer", "lstm")
    ),
)
