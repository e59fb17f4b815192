"""GloVe on any text, by the settings of the paper's program.

    python -m experiments.train --config=configs/glove.py --workdir=runs/glove \
        --config.data.source='text:corpus/*.txt' \
        [--config.model.x_max=10 --config.model.window=15]

Hardware: 2 CPU cores. docs/benchmarks_vectors.md has times and scores on 12.1 million words of Wikipedia. A pass is one
over the pairs of words with a count, of which there are 38 million there.
"""

from w2v_jax.config import CheckpointConfig, Config, LogConfig, OptimizerConfig, TrainConfig
from w2v_jax.models.glove import GloVeConfig


def get_config() -> Config:
    """Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    return Config(
        family="glove",
        model=GloVeConfig(),
        train=TrainConfig(batch_size=4096, passes=15, steps_per_call=64),
        # The paper's Adagrad with rate .05; see `w2v_jax.models.glove`.
        optimizer=OptimizerConfig(
            rows="adagrad_elementwise", learning_rate=1.0, initial_square=1600.0, schedule="constant"
        ),
        checkpoint=CheckpointConfig(every_steps=16_384),
        log=LogConfig(every_steps=1024),
    )
