"""Sentiment of film reviews: a transformer over word vectors; the settings of the last rung of `experiments.sentiment`.

    python -m experiments.train --config=configs/sentiment_transformer.py --workdir=runs/sentiment_transformer \
        --config.data.source=tsv:imdb/train.tsv.xz --config.data.test_source=tsv:imdb/test.tsv.xz \
        --config.model.vectors=runs/skipgram/vectors.bin --config.model.dim=100

In the ladder the data, the vectors and the words of a text that are read are those of the other rungs; the rest is of
this file, or of --transformer=FILE and --transformer.KEY=VALUE. At 400 words attention is more than half of a step,
so the blocks are narrower than the other rungs' states.

Hardware: 2 CPU cores, 10 minutes on IMDB, 88.2 % of the test reviews over 300-dimensional vectors
(docs/benchmarks_language.md).
"""

import dataclasses

from configs import recipes, sentiment
from w2v_jax.config import Config
from w2v_jax.models.transformer_classifier import TransformerClassifierConfig


def get_config() -> Config:
    """Data, batches, checkpoints and logs of `configs/sentiment.py`."""
    recurrent = sentiment.get_config()
    return dataclasses.replace(
        recurrent,
        family="transformer_classifier",
        model=TransformerClassifierConfig(layers=2, hidden=96, heads=2, wide=2, dropout=0.1, max_length=400),
        train=dataclasses.replace(recurrent.train, passes=3.0),
        optimizer=dataclasses.replace(recipes.SMALL, learning_rate=0.001, warmup_steps=100, weight_decay=0.05),
    )
