"""What results/forecasts/frontier_wiki*.json forecast: 10, 30 and 100 times the runs of `forecast_frontier_wiki.py`.

    python -m experiments.scaling --config=configs/scaling/forecast_frontier_wiki_large.py \
        --config.data.source='text:wiki_en/*.txt.xz' --workdir=runs/frontier_wiki_large

Hardware: an AMD EPYC. Seed 0 of the first took 35 minutes of one core, that of the others 132 and 258 minutes by the
clock, on one core (the last third of the last on two) and with other work in between. Seeds 1 and 2 were not made.
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
