"""As `transfer_wiki.py`, for recurrent networks: from 32 units to 256.

The cells are an LSTM and an RNN, with 63 times the weights in their layers then, and one whose state is weighted number
by number (`model.cell=elementwise`), with 8 times. A fourth is the third with weights between -1 and 1, and has 2,048
units, too: 64 times the weights in its layers, 62 times all parameters. Each is made in three ways: under the scale
rule of `w2v_jax.nn.transfer`; under this rule with logits that it leaves as they are (`model.logits_power=0`; arms that
end in _unscaled); and without it (_standard). Of the elementwise cells the last two are one model, as their layers have
no matrices. The RNN has a fourth way, rnn_tables: as rnn_unscaled, with tables that learn faster, the less so the wider
the model is, and with 512 units, too. With 32 units, rates and starts were tried
(results/transfer_recurrent_trials.jsonl).

    python -m experiments.scaling --config=configs/scaling/transfer_recurrent.py --workdir=runs/transfer_recurrent \
        --config.data.source='text:wiki_en/*.txt.xz'

Hardware: 1 CPU core, about two and a half hours.
"""

import dataclasses

from configs.scaling import transfer, transfer_wiki
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.nn.recurrent import CELLS
from w2v_jax.scaling import study
from w2v_jax.scaling.study import Arm, Study

BASE = 32  # units
TABLES = "model.table_rate=2 model.table_power=0.3333"  # at BASE; the power by 32 and 256 units
CHOSEN = (
    ("lstm", 0.02, 0.3),
    ("rnn", 0.02, 0.3),
    ("elementwise", 0.03, 0.1),
    ("elementwise_bounded", 0.03, 0.1),
)  # with rate and start at BASE


def _sizes(*units: int) -> tuple[str, ...]:
    return tuple(f"model.dim={n} model.hidden={n}" for n in units)


def get_config() -> Study:
    """500,000 tokens a run, steps of 512; two seeds."""
    text = transfer_wiki.get_config()
    sizes = _sizes(BASE, 256)
    arms = dict[str, Arm]()
    for cell, rate, start in CHOSEN:
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
        arms[cell] = Arm(run, (*sizes, *_sizes(2048)) if cell == "elementwise_bounded" else sizes)
        if not CELLS[cell].elementwise:
            arms[f"{cell}_unscaled"] = Arm(study.sized(run, "model.logits_power=0"), sizes)
        if cell == "rnn":
            arms["rnn_tables"] = Arm(study.sized(run, f"model.logits_power=0 {TABLES}"), (*sizes, *_sizes(512)))
        arms[f"{cell}_standard"] = Arm(transfer.standard(run), sizes)
    return dataclasses.replace(text, arms=arms)
