"""Sentiment of film reviews: a transformer over word vectors; the settings of the last rung of `experiments.sentiment`.

    python -m experiments.train --config=configs/sentiment_transformer.py --workdir=runs/sentiment_transformer \
        --config.data.source=tsv:imdb/train.tsv.xz --config.data.test_source=tsv:imdb/test.tsv.xz \
        --config.model.vectors=runs/skipgram/vectors.bin --config.model.dim=100

In the ladder the data, the vectors and the words of a text that are read are those of the other rungs; the rest is of
this file, or of --transformer=FILE and --transformer.KEY=VALUE. At 400 words attention is more than half of a step,
so the blocks are narrower than the other rungs' states.

Hardware: 2 CPU cores, 10 minutes on IMDB, 88.2 % of the test reviews over 300-dimensional vectors (docs/benchmarks.md).
"""

import ml_collections

from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, OptimizerConfig, TrainConfig, editable
from w2v_jax.models.transformer_classifier import TransformerClassifierConfig


def get_config() -> ml_collections.ConfigDict:
    """Sources: tsv:GLOB (label<TAB>text), tfds:NAME[@SPLIT]."""
    return editable(
        Config(
            family="transformer_classifier",
            model=TransformerClassifierConfig(layers=2, hidden=96, heads=2, wide=2, dropout=0.1, max_length=400),
            data=DataConfig(source="tfds:imdb_reviews", test_source="tfds:imdb_reviews@test"),
            train=TrainConfig(passes=3.0, batch_size=64, steps_per_call=16),
            optimizer=OptimizerConfig(
                dense="adamw",
                learning_rate=0.001,
                schedule="cosine",
                warmup_steps=100,
                clip_norm=1.0,
                beta2=0.98,
                weight_decay=0.05,
            ),
            checkpoint=CheckpointConfig(every_steps=352, keep=1),
            log=LogConfig(every_steps=32, eval_steps=0),
        )
    )
