"""The runs that results/forecasts/wiki.json and wiki_second.json forecast: 10, 30 and 100 times those of
`forecast_wiki.py`, each with its own amount of text.

    python -m experiments.scaling --config=configs/scaling/forecast_wiki_large.py --workdir=runs/large_wiki \
        --config.data.source='text:wiki_en/*.txt.xz'

Hardware: one core of an AMD EPYC, 12, 25 and 80 minutes.
"""

import dataclasses

from configs.scaling import forecast_wiki
from w2v_jax.scaling.study import Study

SIZES = ((64, "7.5e6"), (96, "11.8e6"), (128, "24.4e6"))  # width, tokens


def get_config() -> Study:
    """One seed."""
    study = forecast_wiki.get_config()
    sizes = tuple(f"model.dim={width} model.heads={width // 8} tokens={tokens}" for width, tokens in SIZES)
    arms = {name: dataclasses.replace(arm, sizes=sizes) for name, arm in study.arms.items()}
    return dataclasses.replace(study, arms=arms, most_flops=0.0, seeds=(0,))
