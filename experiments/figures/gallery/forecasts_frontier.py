"""Losses forecast on Wikipedia from runs along the frontier alone, beside what came."""

from __future__ import annotations

import functools

from experiments.figures.figure import Figure
from experiments.figures.gallery import forecasts
from w2v_jax.figures.forecasts import draw

FIGURE = Figure(
    shows="losses forecast on Wikipedia from the frontier to 9.3e12 FLOPs for 10 to 104 times as many, and what came",
    paper="none: the forecasts were committed before their runs began or ended",
    recipe=forecasts.on_wikipedia("forecast_frontier_wiki", "forecast_frontier_wiki_large"),
    data="English Wikipedia (spring 2015), 2,048 byte pairs, at most 46 million tokens read once; 254,936 held out",
    seed=(0, 1, 2),
    collect=functools.partial(
        forecasts.collect,
        committed={
            "a power": ("frontier_wiki.json",),
            "a power and a floor": ("frontier_wiki_floor.json",),
            "a power and an offset": ("frontier_tasks.json", "frontier_wiki_signed.json"),
            "the same, the run at 10 times known": ("frontier_wiki_second.json",),
            "the same, those at 10 and 30 times known": ("frontier_wiki_third.json",),
        },
    ),
    measure=forecasts.measure,
    draw=draw,
)
