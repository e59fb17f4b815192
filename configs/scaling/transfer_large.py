"""As `transfer_wiki.py`, from a width of 64, with a rate of its own for the embedding.

    python -m experiments.scaling --config=configs/scaling/transfer_large.py --workdir=runs/transfer_large \
        --config.data.source='text:wiki_en/*.txt.xz'

Eight times the width, or four times the width and four times the depth: 64 times the parameters in the layers. At a
width of 64 the embedding learns better at eight times the rate of the layers (`model.table_rate`) than at the same.
With one rate the best falls with the width (results/transfer_large_trials.jsonl), with two it rises, and with the depth
it rises, too. So the last two arms let the rate of matrices fall with the width to the power .75, and that of layers
rise with the root of the depth (`model.rate_power`, `model.depth_rate_power`).

Hardware: 1 CPU core, about six hours.
"""

import dataclasses

from configs.scaling import transfer_wiki
from w2v_jax.scaling import study
from w2v_jax.scaling.study import Arm, Study

BASE = "model.dim=64 model.heads=2 model.layers=2"
CHOSEN = "model.base_dim=64 model.base_heads=2 model.base_layers=2 model.init_scale=0.05 model.table_rate=8"
RATES = (0.5, 0.7, 1.0, 1.4, 2.0)


def get_config() -> Study:
    """500,000 tokens a run, steps of 512; two seeds."""
    text = transfer_wiki.get_config()
    run = study.sized(text.arms["width"].run, f"{BASE} {CHOSEN} optimizer.learning_rate=0.003")
    powers = study.sized(run, "model.rate_power=0.75 model.depth_rate_power=0.5")
    wide, deep = (
        (BASE, "model.dim=512 model.heads=16 model.layers=2"),
        (BASE, "model.dim=256 model.heads=8 model.layers=8"),
    )
    arms = {
        "width": Arm(run, wide),
        "depth": Arm(run, deep),
        "width_powers": Arm(powers, wide),
        "depth_powers": Arm(powers, deep),
    }
    return dataclasses.replace(text, arms=arms, rates=RATES)
