"""From compute to loss to accuracy: agreement at five distances and the next word, for runs 10 and 30 times larger.

    python -m experiments.scaling --config=configs/scaling/ladder.py --workdir=runs/ladder
    python -m experiments.scaling --forecast=forecasts/tasks.json --laws=runs/ladder/results.jsonl --floor=known \
        --config=configs/scaling/ladder_large.py

A generated language of 200 words, whose verbs agree with a subject up to 16 words before them in one of 4 classes. The
scale rule carries one rate. Widths below 16 are left out: they do not learn agreement on any amount that was tried, at
losses at which wider models have learnt it.

Hardware: 1 CPU core, about ten minutes.
"""

import dataclasses

from configs.scaling import forecast, synthetic
from w2v_jax.scaling.study import Arm, Study

WIDTHS = (16, 20, 24, 32, 64)
TOKENS = (120_000, 240_000, 480_000, 960_000, 1_250_000)


def arm(sizes: tuple[str, ...]) -> Arm:
    """Transformers of two layers and two heads, steps of 256 words."""
    run = synthetic.get_config().arms["transformer"].run
    model = dataclasses.replace(run.model, base_dim=forecast.BASE, base_heads=2)
    optimizer = dataclasses.replace(run.optimizer, learning_rate=forecast.RATE)
    return Arm(dataclasses.replace(run, model=model, optimizer=optimizer), sizes)


def get_config() -> Study:
    """Three seeds, at most 1.05e11 FLOPs a run."""
    study = synthetic.get_config()
    language = dataclasses.replace(study.data.synthetic, classes=4, distances="1,2,4,8,16", tokens=6_000_000)
    return dataclasses.replace(
        study,
        data=dataclasses.replace(study.data, synthetic=language),
        arms={"transformer": arm(tuple(f"model.dim={width}" for width in WIDTHS))},
        tokens=TOKENS,
        seeds=(0, 1, 2),
        most_flops=1.05e11,
    )
