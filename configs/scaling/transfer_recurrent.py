"""As `transfer_wiki.py`, for recurrent networks: from 32 units to 256.

The cells are an LSTM, with 63 times the weights in its layers then, and one whose state is weighted number by number
(`model.cell=elementwise`), with 8 times. Each is made under the scale rule of `w2v_jax.nn.transfer` and, in the arms
that end in _standard, without. With 32 units, five rates and two starts were tried
(results/transfer_recurrent_trials.jsonl).

    python -m experiments.scaling --config=configs/scaling/transfer_recurrent.py --workdir=runs/transfer_recurrent \
        --config.data.source='text:wiki_en/*.txt.xz'

Hardware: 1 CPU core, about two hours.
"""

import dataclasses

from configs.scaling import transfer, transfer_wiki
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.scaling import study
from w2v_jax.scaling.study import Arm, Study

BASE = 32  # units


def get_config() -> Study:
    """500,000 tokens a run, steps of 512; two seeds."""
    text = transfer_wiki.get_config()
    sizes = tuple(f"model.dim={units} model.hidden={units}" for units in (BASE, 256))
    arms = dict[str, Arm]()
    for cell, rate, start in (("lstm", 0.02, 0.3), ("elementwise", 0.03, 0.1)):
        model = RecurrentLMConfig(
            cell=cell,
            layers=2,
            hidden=BASE,
            dim=BASE,
            tied=True,
            length=64,
            init_scale=start,
            forget_bias=1.0,
            base_dim=BASE,
        )
        run = dataclasses.replace(text.arms["width"].run, family="recurrent_lm", model=model)
        run = study.sized(run, f"optimizer.learning_rate={rate}")
        arms |= {cell: Arm(run, sizes), f"{cell}_standard": Arm(transfer.standard(run), sizes)}
    return dataclasses.replace(text, arms=arms)
