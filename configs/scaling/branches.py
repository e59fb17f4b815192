"""One trunk for many amounts of text, beside a run for each: are the laws of the two grids the same?

    python -m experiments.scaling --config=configs/scaling/branches.py --workdir=runs/branches

Transformers of three sizes on six amounts of the synthetic language, over a decade, with two seeds. In the arm `wsd`
the rate is constant, and falls in the last tenth of the steps (warm-up, stable, decay; Hu et al. 2024, arXiv
2404.06395): each run begins where the next shorter one began to decay, so the six cost 46 % of six runs. In the arm
`cosine` each run is made whole. Rates are near those of `configs/scaling/synthetic.py`, which were chosen for cosines.

Hardware: 1 CPU core, 7 minutes for 2 TFLOP.
"""

import dataclasses

from configs.scaling import synthetic
from w2v_jax.scaling.study import Arm, Study

TOKENS = (100_000, 160_000, 250_000, 400_000, 640_000, 1_020_000)  # a decade, whatever whole steps make of it
RATES = {8: 0.012, 16: 0.01, 36: 0.007}


def get_config() -> Study:
    """The transformer of the small study under two schedules."""
    study = synthetic.get_config()
    run = study.arms["transformer"].run
    stable = dataclasses.replace(run.optimizer, schedule="wsd", decay_fraction=0.1)
    sizes = synthetic.sizes("dim={}", RATES)
    arms = {"cosine": Arm(run, sizes), "wsd": Arm(dataclasses.replace(run, optimizer=stable), sizes)}
    return dataclasses.replace(study, tokens=TOKENS, seeds=(0, 1), window=0, arms=arms)
