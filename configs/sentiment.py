"""Sentiment of film reviews: an LSTM over word vectors; the settings of the ladder of `experiments.sentiment`.

    python -m experiments.train --config=configs/sentiment.py --workdir=runs/sentiment \
        --config.data.source=tsv:imdb/train.tsv.xz --config.data.test_source=tsv:imdb/test.tsv.xz \
        --config.model.vectors=runs/skipgram/vectors.bin --config.model.dim=100

Hardware: 2 CPU cores. With d = 300 on IMDB: 6 minutes, test accuracy 89.6 % (docs/benchmarks_language.md).
"""

import dataclasses

from configs import recipes
from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, TrainConfig
from w2v_jax.models.recurrent_classifier import RecurrentClassifierConfig


def get_config() -> Config:
    """Sources: tsv:GLOB (label<TAB>text), tfds:NAME[@SPLIT]."""
    return Config(
        family="recurrent_classifier",
        model=RecurrentClassifierConfig(hidden=128, pool="max", dropout=0.3, max_length=400),
        data=DataConfig(source="tfds:imdb_reviews", test_source="tfds:imdb_reviews@test"),
        train=TrainConfig(passes=4.0, batch_size=64, steps_per_call=16),
        optimizer=dataclasses.replace(recipes.ADAMW, learning_rate=0.002),
        checkpoint=CheckpointConfig(every_steps=352, keep=1),
        log=LogConfig(every_steps=32, eval_steps=0),
    )
