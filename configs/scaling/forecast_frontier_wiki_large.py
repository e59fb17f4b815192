"""What results/forecasts/frontier_wiki*.json forecast: 10, 30 and 100 times the runs of `forecast_frontier_wiki.py`.

    python -m experiments.scaling --config=configs/scaling/forecast_frontier_wiki_large.py \
        --config.data.source='text:wiki_en/*.txt.xz' --workdir=runs/frontier_wiki_large

Hardware: one core of an AMD EPYC, 35 minutes a seed for the first; the others have not ended yet.
"""

import dataclasses

from configs.scaling import forecast_frontier_wiki
from w2v_jax.scaling.study import Study

WIDTHS = (136, 192, 280)


def get_config() -> Study:
    """Three seeds; the run at 100 times reads nearly all of the text once."""
    study = forecast_frontier_wiki.get_config()
    sizes = tuple(map(forecast_frontier_wiki.size, WIDTHS))
    arms = {name: dataclasses.replace(arm, sizes=sizes) for name, arm in study.arms.items()}
    return dataclasses.replace(study, arms=arms)
