"""Losses forecast on Wikipedia from runs four times as large as those of `forecasts`, beside what came."""

from __future__ import annotations

import functools

from experiments.figures.figure import Figure
from experiments.figures.gallery import forecasts
from w2v_jax.figures.forecasts import draw

FORECASTS = {
    "sum, from the small runs": ("wiki_further.json",),
    "joint, from the small runs": ("wiki_further_joint.json",),
    "joint, the run at 10 times known": ("wiki_further_second_joint.json",),
    "frontier, from the small runs": ("wiki_further_frontier_small.json",),
    "frontier, the run at 10 times known": ("wiki_further_frontier_second.json",),
}

FIGURE = Figure(
    shows="losses forecast on Wikipedia from runs up to 5.8e12 FLOPs for 10, 30 and 100 times as many, and what came",
    paper="none: the forecasts were committed before their runs ended",
    recipe=forecasts.on_wikipedia("forecast_wiki_further", "forecast_wiki_further_large"),
    data="English Wikipedia (spring 2015), 2,048 byte pairs, at most 41 million tokens read once; 254,936 held out",
    seed=(0, 1),
    collect=functools.partial(forecasts.collect, committed=FORECASTS),
    measure=forecasts.measure,
    draw=draw,
)
