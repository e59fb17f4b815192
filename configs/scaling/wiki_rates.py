"""Why the two largest transformers of `wiki.py` were level: learning rates on 1.6 million words of Wikipedia.

    python -m experiments.scaling --config=configs/scaling/wiki_rates.py --workdir=runs/wiki_rates --keep \
        --config.data.source='text:wiki_en/*.txt.xz'

The models, text and schedule are those of `wiki.py`, whose rates were chosen on the generated language. Arms `rule` try
rates at the smallest width; `wiki_transferred.py` carries the best of them to the other widths by the scale rule
(`model.base_dim`). Arms `standard` try twice and four times the rates of `wiki.py` at its largest sizes. Each rate is
an arm of its own.

Hardware: 1 CPU core, about 40 minutes.
"""

import dataclasses

from configs.scaling import wiki
from w2v_jax.config import Config
from w2v_jax.scaling.study import Arm, Study

BASE = 16  # width at which the rates of the rule are meant
TOKENS = 1_600_000
RULE = (0.005, 0.01, 0.02, 0.04)  # rates at that width
STANDARD = {2: (64, 128), 4: (128,)}  # widths by the multiple of the rate of `wiki.py`


def ruled(run: Config) -> Config:
    """`run` with the scale rule, which changes nothing at the width `BASE`."""
    return dataclasses.replace(run, model=dataclasses.replace(run.model, base_dim=BASE, base_heads=run.model.heads))


def get_config() -> Study:
    """Single runs, seed 0."""
    study = wiki.get_config()
    run = study.arms["transformer"].run
    arms = {f"rule_{rate:g}": Arm(ruled(run), (_size(BASE, rate),)) for rate in RULE}
    for times, widths in STANDARD.items():
        rates = (times * wiki.RATES["transformer"][width] for width in widths)
        arms[f"standard_{times}_times"] = Arm(run, tuple(map(_size, widths, rates)))
    return dataclasses.replace(study, arms=arms, tokens=(TOKENS,))


def _size(width: int, rate: float) -> str:
    return f"model.dim={width} optimizer.learning_rate={rate:g}"
