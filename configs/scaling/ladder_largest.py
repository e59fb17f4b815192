"""The runs that results/forecasts/tasks_second.json and tasks_third.json forecast: 10 and 100 times the FLOPs of the
largest of `ladder.py`.

    python -m experiments.scaling --config=configs/scaling/ladder_largest.py --workdir=runs/ladder_largest

Hardware: 1 core of an Intel Xeon, 11 minutes.
"""

import dataclasses

from configs.scaling import ladder
from w2v_jax.scaling.study import Study

SIZES = ("model.dim=32 tokens=5e6", "model.dim=96 tokens=7e6")


def get_config() -> Study:
    """Two seeds each, other ones than those of `ladder_large.py`."""
    return dataclasses.replace(
        ladder.get_config(), arms={"transformer": ladder.arm(SIZES)}, tokens=(), seeds=(2, 3), most_flops=0.0
    )
