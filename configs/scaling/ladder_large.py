"""The runs that `ladder.py` forecasts: 10 and 30 times the FLOPs of its largest.

    python -m experiments.scaling --config=configs/scaling/ladder_large.py --workdir=runs/ladder_large

Hardware: 1 CPU core, about ten minutes.
"""

import dataclasses

from configs.scaling import ladder
from w2v_jax.scaling.study import Study

SIZES = ("model.dim=32 tokens=5e6", "model.dim=64 tokens=4.5e6")


def get_config() -> Study:
    """Two seeds each."""
    return dataclasses.replace(
        ladder.get_config(), arms={"transformer": ladder.arm(SIZES)}, tokens=(), seeds=(0, 1), most_flops=0.0
    )
