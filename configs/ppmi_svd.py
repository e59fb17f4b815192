"""PPMI of words and contexts with a truncated SVD on any text: word vectors without training steps.

    python -m experiments.train --config=configs/ppmi_svd.py --workdir=runs/ppmi_svd \
        --config.data.source='text:corpus/*.txt' \
        [--config.model.power=0 --config.model.shift=5 --config.model.add_contexts=True]

Hardware: 2 CPU cores. docs/benchmarks_vectors.md has times and scores on 12.1 million words of Wikipedia.
"""

from w2v_jax.config import CheckpointConfig, Config
from w2v_jax.models.ppmi_svd import PPMIConfig


def get_config() -> Config:
    """Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    return Config(family="ppmi_svd", model=PPMIConfig(), checkpoint=CheckpointConfig(keep=1))
