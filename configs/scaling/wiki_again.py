"""The study of `wiki.py` again: one rate for all widths, one trunk for all amounts of text, four times the steps.

    python -m experiments.scaling --config=configs/scaling/wiki_again.py --workdir=runs/wiki_again \
        --config.data.source='text:wiki_en/*.txt.xz'

Text and transformers are those of `wiki.py`. What differs: the scale rule carries one rate from a width of 16
(`model.base_dim`), at which weights start from .1 and not from .02; steps have 512 words and not 2,048; Adam's second
moments remember a thousand steps and not fifty, in which a rare word does not occur; the schedule is wsd, so that runs
of one width share a trunk. On 1.6 million words, rate and start were chosen at a width of 64 with the short memory,
then the memory at a width of 16 (results/wiki_again_trials.jsonl).

The LSTMs are those of `wiki.py`, too, but for the smallest width. Their start is .3 at a width of 16, as in
`transfer.py`; their rate was tried at widths of 16 and 64 on 480,000 words. Those of the arm lstm_unscaled have logits
that the rule leaves as they are (`model.logits_power=0`), because the rule's factor costs LSTMs (docs/forecasts.md).
Transformers that share keys and values have the other transformers' rate and start. The elementwise cells have weights
between -1 and 1 (`model.cell=elementwise_bounded`): without that, the loss of some diverged. Their rate was tried at
widths of 16 and 64 on 480,000 words (results/wiki_again_cell_trials.jsonl).

Hardware: one CPU core, an hour a seed for each arm; `--arms=lstm_unscaled` makes one alone.
"""

import dataclasses

from configs.scaling import wiki
from configs.scaling.wiki_rates import BASE, ruled
from w2v_jax.config import Config
from w2v_jax.scaling.study import Arm, Study

TOKENS = (480_000, 900_000, 1_600_000, 2_800_000, 5_000_000)
WIDTHS = (16, 32, 64, 128)
RATE, START, BETA2 = 0.007, 0.1, 0.999  # the first two at a width of 16
LSTM_RATE, LSTM_START = 0.03, 0.3  # likewise
CELL_RATE = 0.03  # of the elementwise cells, likewise; they start as the transformers do


def _with(run: Config, **model: float | str) -> Config:
    return dataclasses.replace(run, model=dataclasses.replace(run.model, **model))


def _carried(run: Config, rate: float) -> Config:
    """`run` with one rate, short steps, a long memory and a trunk."""
    optimizer = dataclasses.replace(
        run.optimizer, learning_rate=rate, beta2=BETA2, schedule="wsd", decay_fraction=0.2, warmup_steps=100
    )
    train = dataclasses.replace(run.train, batch_size=4, steps_per_call=40)
    checkpoint = dataclasses.replace(run.checkpoint, every_steps=4000)  # each save scores the held-out text
    return dataclasses.replace(run, optimizer=optimizer, train=train, checkpoint=checkpoint)


def get_config() -> Study:
    """Seed 0; more by --config.seeds. Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    study = wiki.get_config()
    dims = tuple(f"model.dim={width}" for width in WIDTHS)
    units = tuple(f"model.dim={width} model.hidden={width}" for width in WIDTHS)
    arms = {}
    for name in ("transformer", "shared_kv"):
        run = _with(ruled(study.arms[name].run), init_scale=START)
        arms[name] = Arm(_carried(run, RATE), dims)
    lstm = _with(study.arms["lstm"].run, base_dim=BASE, init_scale=LSTM_START)
    arms["lstm"] = Arm(_carried(lstm, LSTM_RATE), units)
    arms["lstm_unscaled"] = Arm(_carried(_with(lstm, logits_power=0.0), LSTM_RATE), units)
    cell = _with(study.arms["elementwise"].run, cell="elementwise_bounded", base_dim=BASE, init_scale=START)
    arms["elementwise"] = Arm(_carried(cell, CELL_RATE), units)
    return dataclasses.replace(study, arms=arms, tokens=TOKENS)
