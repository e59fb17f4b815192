"""What results/forecasts/frontier_wiki*.json forecast: 10, 30 and 100 times the runs of `forecast_frontier_wiki.py`.

    python -m experiments.scaling --config=configs/scaling/forecast_frontier_wiki_large.py \
        --config.data.source='text:wiki_en/*.txt.xz' --workdir=runs/frontier_wiki_large

Hardware: one core of an AMD EPYC. The first took 20 to 35 minutes, three seeds. Seed 0 of the others took 132 and 258
minutes by the clock, the last third of the last on two cores, with other work in between; seeds 1 and 2 were not made.
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
