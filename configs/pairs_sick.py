"""Sentence relatedness on SICK: a BiLSTM over frozen word vectors, the maximum of its states, grades from 1 to 5.

    python -m experiments.pairs --config=configs/pairs_sick.py --workdir=runs/pairs_sick --seeds=3 \
        --config.model.vectors=runs/vectors/vectors.bin --config.model.dim=300

Hardware: 2 CPU cores. Half a minute of training a seed on a busy machine. Test Pearson .8535, mean of 3 seeds, with our
own vectors of 25 million words of Wikipedia (docs/pairs.md). The settings were chosen on the trial pairs.
"""

import dataclasses

from configs import recipes
from w2v_jax.config import Config, DataConfig, LogConfig, TrainConfig
from w2v_jax.models.pair_encoder import PairEncoderConfig

SICK = "pairs:pairs/sick*.tsv*@3,5,6,1="


def get_config() -> Config:
    """Sources: pairs:GLOB (LABEL<TAB>TEXT<TAB>TEXT, or other columns by @LABEL,FIRST,SECOND)."""
    return Config(
        family="pair_encoder",
        model=PairEncoderConfig(
            tower="lstm",
            loss="grades",
            hidden=50,
            pool="max",
            bidirectional=True,
            units=100,
            dropout=0.3,
            max_length=36,
        ),
        data=DataConfig(
            source=f"{SICK}TRAIN",
            heldout_source=f"{SICK}TRIAL",
            test_source=f"{SICK}TEST",
            labels="1..5",
            min_count=1,
            digits="keep",
        ),
        train=TrainConfig(passes=12.0, batch_size=30, steps_per_call=30),
        optimizer=dataclasses.replace(recipes.ADAMW, learning_rate=0.004),
        log=LogConfig(every_steps=150, eval_steps=0),
    )
