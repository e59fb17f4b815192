"""As `transfer.py`, on Wikipedia, where two seeds are nearer to one another than on the generated language.

    python -m experiments.scaling --config=configs/scaling/transfer_wiki.py --workdir=runs/transfer_wiki \
        --config.data.source='text:wiki_en/*.txt.xz'

Byte pairs and windows are those of `forecast_wiki.py`. Eight times the width (64 times the parameters in the layers),
or four times the width and four times the depth, under the scale rule. Rates are in steps of the square root of two.

Hardware: 1 CPU core, about 50 minutes.
"""

import dataclasses

from configs.scaling import forecast_wiki, transfer
from w2v_jax.scaling import study
from w2v_jax.scaling.study import Arm, Study

RATES = (0.5, 0.7, 1.0, 1.4, 2.0)


def get_config() -> Study:
    """500,000 tokens a run, steps of 512; two seeds."""
    text = forecast_wiki.get_config()
    small = "model.heads=1 model.base_heads=1 model.layers=2 optimizer.learning_rate=0.028"
    run = study.sized(text.arms["transformer"].run, small)
    optimizer = dataclasses.replace(run.optimizer, beta2=0.995)  # 200 steps, in which rarer tokens occur
    run = dataclasses.replace(run, train=dataclasses.replace(run.train, batch_size=4), optimizer=optimizer)
    wide, deep = (arm.sizes for name, arm in transfer.get_config().arms.items() if name in ("width", "depth"))
    arms = {
        "width": Arm(run, wide),
        "depth": Arm(dataclasses.replace(run, model=dataclasses.replace(run.model, base_layers=2)), deep),
    }
    return dataclasses.replace(text, arms=arms, tokens=(500_000,), rates=RATES, most_flops=0.0, seeds=(0, 1))
