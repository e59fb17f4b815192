"""Losses forecast on the generated language, whose best possible loss is known, beside what came."""

from __future__ import annotations

import functools

from experiments.figures.figure import Figure, study
from experiments.figures.gallery import forecasts
from w2v_jax.figures.forecasts import draw

FORECASTS = {
    "floor known, from the small runs": ("synthetic_10_known.json", "synthetic_100_known.json"),
    "floor fitted, from the small runs": ("synthetic_10_free.json", "synthetic_100_free.json"),
    "floor known, the runs at 10 times known": ("synthetic_second_known.json",),
    "floor fitted, the runs at 10 times known": ("synthetic_second_free.json",),
}
_LARGE = "--config.most_flops=0 '--config.arms.transformer.sizes=({})' --config.seeds={}"
_TEN = '"model.dim=64 model.heads=8 tokens=7.4e6",'
_REST = '"model.dim=96 model.heads=12 tokens=12.2e6","model.dim=128 model.heads=16 tokens=26e6"'


FIGURE = Figure(
    shows="losses forecast on a generated language for runs 10, 30 and 100 times as large, and what came",
    paper="none: the forecasts were committed before their runs",
    recipe=(
        study("configs/scaling/forecast.py", "", "small"),
        study("configs/scaling/forecast.py", _LARGE.format(_TEN, "(0,1)"), "large"),
        study("configs/scaling/forecast.py", _LARGE.format(_REST, "(0,)"), "large"),
    ),
    data="the generated language of configs/scaling/forecast.py: 2,000 words, at most 26 million read",
    seed=(0, 1),
    collect=functools.partial(forecasts.collect, committed=FORECASTS, extra=("optimum",)),
    measure=forecasts.measure,
    draw=draw,
)
