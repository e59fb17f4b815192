"""As `forecast.py`, on Wikipedia: byte pairs of 2,048 tokens, windows of 128.

    python -m experiments.scaling --config=configs/scaling/forecast_wiki.py --workdir=runs/small_wiki \
        --config.data.source='text:wiki_en/*.txt.xz'

Hardware: 2 CPU cores, about ten minutes.
"""

import dataclasses

from configs.scaling import forecast
from w2v_jax.config import DataConfig, TrainConfig
from w2v_jax.scaling.study import Arm, Study

DATA = DataConfig(
    source="pydocs", tokens="bpe", max_vocab=2048, bpe_words=2_000_000, end_token="<eos>", heldout_every=200
)


def get_config() -> Study:
    """Three layers, steps of 1,024 tokens."""
    study = forecast.get_config()
    run = study.arms["transformer"].run
    model = dataclasses.replace(run.model, layers=3, length=128)
    run = dataclasses.replace(run, model=model, train=TrainConfig(batch_size=8, steps_per_call=32))
    arms = {"transformer": Arm(run, study.arms["transformer"].sizes)}
    return dataclasses.replace(study, data=DATA, arms=arms, most_flops=1.4e12, optimum=False)
