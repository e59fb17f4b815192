"""A grid of small transformers on a generated language, for forecasts of runs that are 10 to 100 times larger.

    python -m experiments.scaling --config=configs/scaling/forecast.py --workdir=runs/small
    python -m experiments.scaling --forecast=forecasts/FILE.json --laws=runs/small/results.jsonl \
        --config=configs/scaling/forecast.py --config.arms.transformer.sizes=... --config.tokens=...

All sizes have one learning rate: the scale rule (`model.base_dim`) carries it over the widths. The language has 2,000
words in 16 topics and agreement over up to 16 words; its best possible loss is known.

Hardware: 2 CPU cores, about ten minutes.
"""

import dataclasses

from configs.scaling import synthetic
from w2v_jax.config import SyntheticConfig, TrainConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.study import Arm, Study

BASE = 16  # width at which the rate was chosen
HEAD = 8  # width of a head
RATE = 0.01  # at a width of 16, the best of .0025 to .04 at 300,000 words; at a million, .014 was better by 1 %


def get_config() -> Study:
    """Steps of 512 words."""
    model = TransformerConfig(layers=2, heads=2, dim=BASE, length=64, init_scale=0.1, base_dim=BASE, base_heads=2)
    run = synthetic.run("transformer", model)
    optimizer = dataclasses.replace(run.optimizer, learning_rate=RATE, warmup_steps=50)
    run = dataclasses.replace(run, optimizer=optimizer, train=TrainConfig(batch_size=8, steps_per_call=64))
    language = SyntheticConfig(words=2000, topics=16, senses=200, classes=4, distances="1,2,4,8,16", tokens=30_000_000)
    data = dataclasses.replace(synthetic.get_config().data, synthetic=language)
    sizes = tuple(f"model.dim={width} model.heads={width // HEAD}" for width in (8, 16, 24, 32, 64))
    return Study(
        data=data,
        arms={"transformer": Arm(run, sizes)},
        tokens=(300_000, 750_000, 1_900_000, 3_100_000),
        most_flops=1.1e12,
        seeds=(0, 1),
        optimum=True,
    )
