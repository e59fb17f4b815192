"""As `forecast_wiki.py`, with four heads at all widths and runs four times as large; the rate was chosen again.

    python -m experiments.scaling --config=configs/scaling/forecast_wiki_further.py --workdir=runs/further \
        --config.data.source='text:wiki_en/*.txt.xz'

Four wide heads are up to twice as fast on a CPU as heads of eight units. No run is as short as the shortest of
`forecast_wiki.py`, which lie above any law.

Hardware: one core of an AMD EPYC, about half an hour.
"""

import dataclasses

from configs.scaling import forecast_wiki
from w2v_jax.scaling.study import Study

HEADS = 4
RATE = 0.014  # the best of .005, .0085, .014 and .024 at widths of 24 and 64, 4.2 and 1.7 million tokens


def size(width: int) -> str:
    """The overrides of a width."""
    return f"model.dim={width} model.heads={HEADS}"


def get_config() -> Study:
    """Six widths, up to four amounts of text, two seeds."""
    study = forecast_wiki.get_config()
    arm = study.arms["transformer"]
    run = dataclasses.replace(arm.run, optimizer=dataclasses.replace(arm.run.optimizer, learning_rate=RATE))
    arms = {"transformer": dataclasses.replace(arm, run=run, sizes=tuple(map(size, (24, 32, 48, 64, 96, 128))))}
    tokens = (700_000, 1_700_000, 4_200_000, 10_400_000)
    return dataclasses.replace(study, arms=arms, tokens=tokens, most_flops=6e12)
