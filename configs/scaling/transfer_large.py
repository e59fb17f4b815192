"""As `transfer_wiki.py`, from a width of 64, with a rate of its own for the embedding.

    python -m experiments.scaling --config=configs/scaling/transfer_large.py --workdir=runs/transfer_large \
        --config.data.source='text:wiki_en/*.txt.xz'

Eight times the width, or four times the width and four times the depth: 64 times the parameters in the layers. At a
width of 64 the embedding learns at 16 times the rate of the layers (`model.table_rate`), and this rate falls with the
root of the width (`model.table_power`). With one rate the best falls with the width
(results/transfer_large_trials.jsonl), with 8 times it rises (results/transfer_eight.jsonl). The arm width_standard is
eight times the width without the scale rule.

Hardware: 1 CPU core, about four hours.
"""

import dataclasses

from configs.scaling import transfer, transfer_wiki
from w2v_jax.scaling import study
from w2v_jax.scaling.study import Arm, Study

BASE = "model.dim=64 model.heads=2 model.layers=2"
CHOSEN = "model.base_dim=64 model.base_heads=2 model.base_layers=2 model.init_scale=0.05"
TABLES = "model.table_rate=16 model.table_power=0.5"
RATES = (0.7, 1.0, 1.4, 2.0, 2.8)


def get_config() -> Study:
    """500,000 tokens a run, steps of 512; two seeds."""
    text = transfer_wiki.get_config()
    run = study.sized(text.arms["width"].run, f"{BASE} {CHOSEN} {TABLES} optimizer.learning_rate=0.003")
    wide = (BASE, "model.dim=512 model.heads=16 model.layers=2")
    arms = {
        "width": Arm(run, wide),
        "width_standard": Arm(transfer.standard(run), wide),
        "depth": Arm(run, (BASE, "model.dim=256 model.heads=8 model.layers=8")),
    }
    return dataclasses.replace(text, arms=arms, rates=RATES)
