"""Whether the best learning rate of a small model is that of one with 64 times the parameters in its layers.

    python -m experiments.scaling --config=configs/scaling/transfer.py --workdir=runs/transfer

Eight times the width, or four times the width and four times the depth, under the scale rule of `w2v_jax.nn.transfer`
(`model.base_dim`) and under the standard parametrisation, at the same rates. At the smallest size both are one model.
The report says what the best rate of the smallest size costs at the largest, in per cent of the loss.

Hardware: 2 CPU cores, about 40 minutes.
"""

import dataclasses
from typing import Any

from configs.scaling import forecast
from w2v_jax.config import Config
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.scaling import study
from w2v_jax.scaling.study import Arm, Study

BASE = 16  # width at which the rates are those of the configs
WIDTHS = (16, 32, 64, 128)
DEPTHS = ((16, 2), (32, 4), (64, 8))  # width and layers


def standard(run: Config) -> Config:
    """Without the scale rule."""
    off: dict[str, Any] = {key: 0 for key in ("base_dim", "base_heads", "base_layers") if hasattr(run.model, key)}
    off |= {"table_power": 0.0, "logits_power": 1.0}
    return dataclasses.replace(run, model=dataclasses.replace(run.model, **off))


def get_config() -> Study:
    """The generated language of `forecast.py`, 500,000 words a run."""
    text = forecast.get_config()
    run = study.sized(text.arms["transformer"].run, "model.heads=1 model.base_heads=1 optimizer.learning_rate=0.007")
    deep = dataclasses.replace(run, model=dataclasses.replace(run.model, base_layers=2))
    lstm = RecurrentLMConfig(
        cell="lstm",
        layers=1,
        hidden=BASE,
        dim=BASE,
        tied=True,
        length=64,
        init_scale=0.3,
        forget_bias=1.0,
        base_dim=BASE,
    )
    recurrent = study.sized(dataclasses.replace(run, family="recurrent_lm", model=lstm), "optimizer.learning_rate=0.02")
    wide = tuple(f"model.dim={width} model.heads={width // BASE}" for width in WIDTHS)
    both = tuple(f"model.dim={width} model.heads={width // BASE} model.layers={layers}" for width, layers in DEPTHS)
    hidden = tuple(f"model.dim={width} model.hidden={width}" for width in WIDTHS)
    arms = {"width": Arm(run, wide), "depth": Arm(deep, both), "lstm": Arm(recurrent, hidden)}
    beside = {f"{name}_standard": dataclasses.replace(arm, run=standard(arm.run)) for name, arm in arms.items()}
    rates = (0.25, 0.5, 1.0, 2.0, 4.0)
    language = dataclasses.replace(text.data.synthetic, tokens=600_000)
    data = dataclasses.replace(text.data, synthetic=language)
    whole = dataclasses.replace(text, data=data, arms=arms | beside, tokens=(500_000,), rates=rates)
    return dataclasses.replace(whole, most_flops=0.0, optimum=False)
