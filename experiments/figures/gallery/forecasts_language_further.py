"""Losses forecast on the generated language from runs four times as large as those of `forecasts_language`."""

from __future__ import annotations

import functools

from experiments.figures.figure import Figure, study
from experiments.figures.gallery import forecasts
from w2v_jax.figures.forecasts import draw

FORECASTS = {
    "frontier, from the small runs": ("language_further_frontier.json",),
    "sum, from the small runs": ("language_further_known.json",),
    "frontier, the run at 10 times known": ("language_further_second_frontier.json",),
}
SIZES = "'--config.arms.transformer.sizes=({})' --config.most_flops=0 --config.seeds=(0,)".format(
    "".join(
        f'"model.dim={width} model.heads=4 tokens={tokens}",'
        for width, tokens in ((112, "18e6"), (160, "31e6"), (256, "47e6"))
    )
)

FIGURE = Figure(
    shows="losses forecast on a generated language, floor known, for 10 to 100 times 5.9e12 FLOPs, and what came",
    paper="none: the forecasts were committed before their runs ended",
    recipe=(
        study("configs/scaling/forecast_further.py", "", "small"),
        study("configs/scaling/forecast_further.py", SIZES, "large"),
    ),
    data="the generated language of configs/scaling/forecast_further.py: 2,000 words, at most 47 million read",
    seed=(0, 1),
    collect=functools.partial(forecasts.collect, committed=FORECASTS, extra=("optimum",)),
    measure=forecasts.measure,
    draw=draw,
)
