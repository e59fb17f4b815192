"""The best learning rate by size of recurrent networks on Wikipedia, with the scale rule and without."""

from __future__ import annotations

import functools

from experiments.figures.figure import Figure, study
from experiments.figures.gallery.rate_transfer import collect, draw, measure

_STUDY = "configs/scaling/transfer_recurrent.py"
_TEXT = "--config.data.source=text:{wiki_en.*.txt}"

FIGURE = Figure(
    shows="loss by learning rate of an LSTM and an elementwise cell of 32 and 256 units, with a scale rule and without",
    paper="Yang et al. 2022, arXiv 2203.03466",
    recipe=(
        study(_STUDY, f"{_TEXT} --arms=lstm,elementwise"),
        study(_STUDY, f"{_TEXT} --arms=lstm_standard,elementwise_standard --config.seeds=(0,)"),
    ),
    data="English Wikipedia (spring 2015), 500,000 byte pairs of 2,048 a run; one seed without the rule",
    seed=(0, 1),
    collect=collect,
    measure=measure,
    draw=functools.partial(draw, across=2),
)
