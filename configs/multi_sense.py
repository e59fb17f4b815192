"""Skip-gram with several vectors a word, their number found by the data (AdaGram), on any text.

    python -m experiments.train --config=configs/multi_sense.py --workdir=runs/multi_sense \
        --config.data.source='text:corpus/*.txt' [--config.model.senses=5 --config.model.alpha=0.1]
    python -m experiments.senses --workdir=runs/multi_sense --words=bank,apple

vectors.bin holds the vector of each word's most frequent sense; docs/senses.md shows how to read and save all of them.
Hardware: 2 CPU cores, about `senses` times the time of `configs/skipgram.py`.
"""

from w2v_jax.config import Config, OptimizerConfig, TrainConfig
from w2v_jax.models.multi_sense import MultiSenseConfig


def get_config() -> Config:
    """The text and the steps of `configs/skipgram.py`."""
    return Config(
        family="multi_sense",
        model=MultiSenseConfig(),
        train=TrainConfig(batch_size=2048, steps_per_call=128),
        optimizer=OptimizerConfig(learning_rate=0.3, initial_square=0.1),
    )
