"""Similarity of sentences on the STS benchmark: smooth inverse frequency, a projection, grades 0 to 5.

    python -m experiments.pairs --config=configs/pairs_stsb.py --workdir=runs/pairs_stsb \
        --counts=runs/vectors/vocab.txt --config.model.counts=runs/vectors/vocab.txt \
        --config.model.vectors=runs/vectors/vectors.bin --config.model.dim=300

Hardware: 2 CPU cores. 12 seconds of training. Test Pearson .696 trained, .641 for SIF of the vectors, untrained
(docs/pairs.md).
"""

import dataclasses

from configs import recipes
from w2v_jax.config import Config, DataConfig, LogConfig, TrainConfig
from w2v_jax.models.pair_encoder import PairEncoderConfig


def get_config() -> Config:
    """Sources: pairs:GLOB (LABEL<TAB>TEXT<TAB>TEXT, or other columns by @LABEL,FIRST,SECOND)."""
    return Config(
        family="pair_encoder",
        model=PairEncoderConfig(tower="sif", loss="grades", hidden=300, grades=6, units=100, dropout=0.2),
        data=DataConfig(
            source="pairs:pairs/stsb.train.tsv*",
            heldout_source="pairs:pairs/stsb.dev.tsv*",
            test_source="pairs:pairs/stsb.test.tsv*",
            labels="0..5",
            min_count=1,
            digits="keep",
        ),
        train=TrainConfig(passes=6.0, batch_size=30, steps_per_call=32),
        optimizer=dataclasses.replace(recipes.ADAMW, learning_rate=0.002),
        log=LogConfig(every_steps=192, eval_steps=0),
    )
