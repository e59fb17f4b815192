"""As `transfer_large.py`, with depth alone: 2 layers and 128, 64 times the parameters in the layers.

    python -m experiments.scaling --config=configs/scaling/transfer_depth.py --workdir=runs/transfer_depth \
        --config.data.source='text:wiki_en/*.txt.xz'

The base is that of `transfer_large.py`, so its best rate is known. The arm layers_standard has the same depth without
the scale rule.

Hardware: 1 CPU core, 6 to 16 minutes a run of 128 layers, so some four hours for all. Made were the arm `layers` with
the rates 1, 1.4 and 2, and `layers_standard` with seed 0 and .125, .25, .5 and 1.4 (results/transfer_depth.jsonl).
"""

import dataclasses

from configs.scaling import transfer, transfer_large
from w2v_jax.scaling import study
from w2v_jax.scaling.study import Arm, Study

SIZES = (transfer_large.BASE, transfer_large.BASE.replace("layers=2", "layers=128"))


def get_config() -> Study:
    """500,000 tokens a run, steps of 512; two seeds."""
    wide = transfer_large.get_config()
    run = study.sized(wide.arms["width"].run, "model.loop=scan")  # 128 layers would take minutes to compile
    arms = {"layers": Arm(run, SIZES), "layers_standard": Arm(transfer.standard(run), SIZES)}
    return dataclasses.replace(wide, arms=arms)
