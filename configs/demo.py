"""The demo: skip-gram with negative sampling on the docstrings of the installed packages (`pydocs`, no download).

    make demo        or        python -m experiments.demo

Hardware: 2 CPU cores. A few million words; training takes about a quarter of a minute (words/s are shown). Expect
neighbours such as array: ndarray, arrays; the built-in similarity list of technical English around a Spearman of 0.7.
"""

from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, OptimizerConfig, TrainConfig
from w2v_jax.models.word2vec import Word2VecConfig


def get_config() -> Config:
    """pydocs, 100 dimensions, 10 passes."""
    return Config(
        family="word2vec",
        model=Word2VecConfig(),
        data=DataConfig(source="pydocs", heldout_every=50),
        train=TrainConfig(passes=10.0, batch_size=2048, steps_per_call=128),
        optimizer=OptimizerConfig(learning_rate=0.3),
        checkpoint=CheckpointConfig(every_steps=4096),
        log=LogConfig(every_steps=512),
    )
