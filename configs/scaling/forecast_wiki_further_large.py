"""What results/forecasts/wiki_further*.json forecast: 10, 30 and 100 times the runs of `forecast_wiki_further.py`.

    python -m experiments.scaling --config=configs/scaling/forecast_wiki_further_large.py --workdir=runs/further_large \
        --config.data.source='text:wiki_en/*.txt.xz'

Hardware: one core of an AMD EPYC, a quarter of an hour, 40 minutes and two hours and a quarter.
"""

import dataclasses

from configs.scaling import forecast_wiki_further
from w2v_jax.scaling.study import Study

SIZES = ((96, "17e6"), (144, "27e6"), (224, "41e6"))  # width, tokens


def get_config() -> Study:
    """One seed."""
    study = forecast_wiki_further.get_config()
    sizes = tuple(f"{forecast_wiki_further.size(width)} tokens={tokens}" for width, tokens in SIZES)
    arms = {name: dataclasses.replace(arm, sizes=sizes) for name, arm in study.arms.items()}
    return dataclasses.replace(study, arms=arms, most_flops=0.0, seeds=(0,))
