"""Skip-gram with negative sampling on any text; the settings of the benchmark in docs/benchmarks_word2vec.md.

    python -m experiments.train --config=configs/skipgram.py --workdir=runs/skipgram \
        --config.data.source='text:corpus/*.txt' \
        [--config.model.dim=300 --config.model.segment=64 --config.optimizer.learning_rate=0.2 \
         --config.optimizer.initial_square=0.0 --config.model.noise_dtype=bfloat16]

Hardware: 2 CPU cores. 12.5 million words of Wikipedia, 5 passes, d = 100: about half a minute with negative sampling;
what that gives on the similarity sets and the analogies is tabled in docs/benchmarks_word2vec.md. `--config.model.loss`
may be hierarchical or softmax, which scores the whole vocabulary for every word: hours on such text without an
accelerator, so meant for small vocabularies or a GPU.
"""

from w2v_jax.config import Config, OptimizerConfig, TrainConfig
from w2v_jax.models.word2vec import Word2VecConfig


def get_config() -> Config:
    """Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    return Config(
        family="word2vec",
        model=Word2VecConfig(),
        train=TrainConfig(batch_size=2048, steps_per_call=128),
        optimizer=OptimizerConfig(learning_rate=0.3, initial_square=0.1),
    )
