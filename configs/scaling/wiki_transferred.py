"""The transformers of `wiki.py` with one learning rate, found at the smallest width and carried by the scale rule.

    python -m experiments.scaling --config=configs/scaling/wiki_transferred.py --workdir=runs/wiki_transferred --keep \
        --config.data.source='text:wiki_en/*.txt.xz'

Models, text, amounts and schedule are those of `wiki.py`; the rate comes from `wiki_rates.py`.

Hardware: 1 CPU core, about 90 minutes.
"""

import dataclasses

from configs.scaling import wiki
from configs.scaling.wiki_rates import ruled
from w2v_jax.scaling.study import Arm, Study

RATE = 0.02  # at a width of 16; see `wiki_rates.py`
WIDTHS = (16, 32, 64, 128)


def get_config() -> Study:
    """One arm of 12 runs, seed 0."""
    study = wiki.get_config()
    run = ruled(study.arms["transformer"].run)
    run = dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, learning_rate=RATE))
    return dataclasses.replace(study, arms={"transformer": Arm(run, tuple(f"model.dim={width}" for width in WIDTHS))})
