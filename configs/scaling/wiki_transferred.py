"""The two largest transformers of `wiki.py` with one learning rate, which the scale rule carries from a width of 16.

    python -m experiments.scaling --config=configs/scaling/wiki_transferred.py --workdir=runs/wiki_transferred --keep \
        --config.data.source='text:wiki_en/*.txt.xz' --config.tokens='(5_000_000,)'

Models, text, amounts and schedule are those of `wiki.py`; the rate comes from `wiki_rates.py`.

Hardware: 1 CPU core, about an hour.
"""

import dataclasses

from configs.scaling import wiki
from configs.scaling.wiki_rates import ruled
from w2v_jax.scaling.study import Arm, Study

RATE = 0.02  # at a width of 16
WIDTHS = (64, 128)


def get_config() -> Study:
    """One arm of six runs, seed 0; the command above makes the two on 5 million words."""
    study = wiki.get_config()
    run = ruled(study.arms["transformer"].run)
    run = dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, learning_rate=RATE))
    arm = Arm(run, tuple(f"model.dim={width}" for width in WIDTHS))
    return dataclasses.replace(study, arms={"transformer": arm})
