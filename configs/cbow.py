"""CBOW on any text; the settings of the benchmark in docs/benchmarks.md.

    python -m experiments.train --config=configs/cbow.py --workdir=runs/cbow --config.data.source='text:corpus/*.txt'

Hardware: 2 CPU cores. 12.5 million words of Wikipedia, 5 passes, d = 100: under a minute with negative sampling; what
that gives on the similarity sets and the analogies is tabled in docs/benchmarks.md. `--config.model.loss` may be
hierarchical (several times slower) or softmax, which scores the whole vocabulary for every word: hours on such text
without an accelerator, so meant for small vocabularies or a GPU.
"""

import ml_collections

from w2v_jax.config import Config, OptimizerConfig, TrainConfig, editable
from w2v_jax.models.word2vec import Word2VecConfig


def get_config() -> ml_collections.ConfigDict:
    """Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    return editable(
        Config(
            family="word2vec",
            model=Word2VecConfig(architecture="cbow", segment=128, noise_every=4),
            train=TrainConfig(batch_size=2048, steps_per_call=128),
            optimizer=OptimizerConfig(learning_rate=0.6, initial_square=1.0),
        )
    )
