"""Why the two largest transformers of `wiki.py` were level: learning rates by width on Wikipedia.

    python -m experiments.scaling --config=configs/scaling/wiki_rates.py --workdir=runs/wiki_rates --keep \
        --config.data.source='text:wiki_en/*.txt.xz'

Models, text and schedule are those of `wiki.py`, whose rates were chosen on the generated language. Arms `standard` try
its rates and multiples of them, arms `rule` a rate of the smallest width that the scale rule (`model.base_dim`) carries
to the others. Each rate is an arm of its own.

Hardware: 1 CPU core, about 15 minutes.
"""

import dataclasses

from configs.scaling import wiki
from w2v_jax.config import Config
from w2v_jax.scaling.study import Arm, Study

BASE = 16  # width at which the rates of the rule are meant
TOKENS = 480_000
RULE = {0.005: (16,), 0.01: (16, 64), 0.02: (16, 64), 0.04: (16, 64)}  # widths by rate
STANDARD = {1: (64,), 2: (64,)}  # widths by the multiple of the rate of `wiki.py`


def ruled(run: Config) -> Config:
    """`run` with the scale rule, which changes nothing at the width `BASE`."""
    return dataclasses.replace(run, model=dataclasses.replace(run.model, base_dim=BASE, base_heads=run.model.heads))


def get_config() -> Study:
    """Single runs, seed 0."""
    study = wiki.get_config()
    run = study.arms["transformer"].run
    arms = {f"rule_{rate:g}": Arm(ruled(run), tuple(_size(w, rate) for w in widths)) for rate, widths in RULE.items()}
    for times, widths in STANDARD.items():
        rates = (times * wiki.RATES["transformer"][width] for width in widths)
        arms[f"standard_{times}_times"] = Arm(run, tuple(map(_size, widths, rates)))
    return dataclasses.replace(study, arms=arms, tokens=(TOKENS,))


def _size(width: int, rate: float) -> str:
    return f"model.dim={width} optimizer.learning_rate={rate:g}"
