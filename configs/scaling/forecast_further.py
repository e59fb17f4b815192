"""As `forecast.py`, with four heads at all widths and runs five times as large; the rate was chosen again.

    python -m experiments.scaling --config=configs/scaling/forecast_further.py --workdir=runs/further

Four wide heads are up to twice as fast on a CPU as heads of eight units. The language is that of `forecast.py` with
more text. A step has 1,024 words.

Hardware: one core of an AMD EPYC, about half an hour.
"""

import dataclasses

from configs.scaling import forecast
from w2v_jax.config import TrainConfig
from w2v_jax.scaling.study import Study

HEADS = 4
RATE = 0.014  # the best of .007, .014 and .028 at widths of 24 and 64, 4.2 and 1.7 million words


def size(width: int) -> str:
    """The overrides of a width."""
    return f"model.dim={width} model.heads={HEADS}"


def get_config() -> Study:
    """Six widths, up to four amounts of text, two seeds."""
    study = forecast.get_config()
    arm = study.arms["transformer"]
    optimizer = dataclasses.replace(arm.run.optimizer, learning_rate=RATE)
    run = dataclasses.replace(arm.run, optimizer=optimizer, train=TrainConfig(batch_size=16, steps_per_call=32))
    arms = {"transformer": dataclasses.replace(arm, run=run, sizes=tuple(map(size, (24, 32, 48, 64, 96, 128))))}
    language = dataclasses.replace(study.data.synthetic, tokens=50_000_000)
    data = dataclasses.replace(study.data, synthetic=language)
    tokens = (700_000, 1_700_000, 4_200_000, 10_400_000)
    return dataclasses.replace(study, data=data, arms=arms, tokens=tokens, most_flops=6e12)
