"""Are two posts of one newsgroup? Contrastive loss with a margin over a projection of their SIF vectors.

    python -m experiments.pairs --newsgroups=newsgroups20 --workdir=runs/news_pairs --pairs=5000
    python -m experiments.pairs --config=configs/pairs_newsgroups.py --workdir=runs/pairs_seen \
        --counts=runs/vectors/vocab.txt --config.model.counts=runs/vectors/vocab.txt \
        --config.model.vectors=runs/vectors/vectors.bin --config.model.dim=300

Hardware: 2 CPU cores. A minute of training. Test accuracy 71 % of pairs of known groups (docs/pairs.md).
"""

import dataclasses

from configs import recipes
from w2v_jax.config import Config, DataConfig, LogConfig, TrainConfig
from w2v_jax.models.pair_encoder import PairEncoderConfig


def get_config() -> Config:
    """Sources: pairs:GLOB; the other setting is runs/news_pairs/unseen."""
    folder = "pairs:runs/news_pairs/seen"
    return Config(
        family="pair_encoder",
        model=PairEncoderConfig(tower="sif", hidden=100, dropout=0.2, max_length=200, pad_lengths=4),
        data=DataConfig(
            source=f"{folder}/train.tsv",
            heldout_source=f"{folder}/dev.tsv",
            test_source=f"{folder}/test.tsv",
            min_count=1,
            digits="keep",
        ),
        train=TrainConfig(passes=6.0, batch_size=50, steps_per_call=20),
        optimizer=dataclasses.replace(recipes.ADAMW, learning_rate=0.002),
        log=LogConfig(every_steps=200, eval_steps=0),
    )
