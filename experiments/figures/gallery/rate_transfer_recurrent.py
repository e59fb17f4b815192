"""The best learning rate by size of recurrent networks on Wikipedia: by the scale rule, without its factor of logits,
and by the standard parametrisation."""

from __future__ import annotations

import functools

from experiments.figures.figure import Figure, study
from experiments.figures.gallery.rate_transfer import collect, draw, measure

_STUDY = "configs/scaling/transfer_recurrent.py"
_TEXT = "--config.data.source=text:{wiki_en.*.txt}"
_ONCE = "lstm_standard,rnn,rnn_unscaled,rnn_standard,elementwise_standard"
_TABLES, _SIZES = "--arms=rnn_tables --config.rates=(0.5,0.6,0.7)", "--config.arms.rnn_tables.sizes="
_BOUNDED = "--arms=elementwise_bounded"
_OF_BOUNDED = "--config.arms.elementwise_bounded.sizes="
_STANDARD = "--config.arms.elementwise_bounded_standard.sizes="
_2048 = '"model.dim=2048 model.hidden=2048"'
_32, _256 = '"model.dim=32 model.hidden=32"', '"model.dim=256 model.hidden=256"'

FIGURE = Figure(
    shows="loss by learning rate of an LSTM, an RNN and elementwise cells of 32 units and more: with a scale rule, "
    "without its factor of logits, with a rate of their own for tables (RNN), and with none",
    paper="Yang et al. 2022, arXiv 2203.03466",
    recipe=(
        study(_STUDY, f"{_TEXT} --arms=lstm,elementwise"),
        study(_STUDY, f"{_TEXT} --arms=lstm_unscaled --config.seeds=(0,1,2,3)"),
        study(_STUDY, f"{_TEXT} --arms={_ONCE} --config.seeds=(0,)"),
        study(_STUDY, f"{_TEXT} --arms=rnn,rnn_standard --config.seeds=(0,) --config.rates=(0.25,0.35)"),
        study(_STUDY, f"{_TEXT} --arms=rnn_unscaled --config.seeds=(1,2,3) --config.rates=(0.35,0.5,0.7,1.0,1.4)"),
        study(_STUDY, f"{_TEXT} --arms=rnn_unscaled --config.seeds=(0,) --config.rates=(0.35,)"),
        study(_STUDY, f"{_TEXT} --arms=rnn_standard --config.seeds=(0,) --config.rates=(0.125,0.175)"),
        study(_STUDY, f"{_TEXT} {_BOUNDED} --config.rates=(0.5,0.7,0.85,1.0)"),
        study(_STUDY, f"{_TEXT} {_BOUNDED} --config.rates=(1.4,) '{_OF_BOUNDED}({_32},{_256})'"),
        study(_STUDY, f"{_TEXT} {_BOUNDED}_standard --config.seeds=(0,) --config.rates=(0.5,0.7,0.85,1.0,1.4)"),
        study(
            _STUDY, f"{_TEXT} {_BOUNDED}_standard --config.seeds=(0,) --config.rates=(0.25,0.5) '{_STANDARD}({_2048},)'"
        ),
        study(_STUDY, f"{_TEXT} {_TABLES}"),
        study(_STUDY, f"{_TEXT} {_TABLES} --config.seeds=(2,3) '{_SIZES}({_32},{_256})'"),
        study(_STUDY, f"{_TEXT} {_TABLES} --config.seeds=(4,5,6,7) '{_SIZES}({_32},)'"),
    ),
    data="English Wikipedia (spring 2015), 500,000 byte pairs of 2,048 a run; seeds in the recipe",
    seed=(0, 1, 2, 3, 4, 5, 6, 7),
    collect=collect,
    measure=measure,
    draw=functools.partial(draw, standard_last=False),
)
