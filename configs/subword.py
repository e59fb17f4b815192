"""Skip-gram with vectors made of character n-grams, as fastText's, so that unseen words have a vector.

    python -m experiments.train --config=configs/subword.py --workdir=runs/subword \
        --config.data.source='text:corpus/*.txt'

Hardware: CPU cores or a GPU. A step gathers every n-gram of its words: some tens of times the rows of skip-gram, and so
many times its time. `--config.model.architecture=cbow` works too.
"""

from configs import skipgram
from w2v_jax.config import Config
from w2v_jax.models.subword import SubwordConfig


def get_config() -> Config:
    """Skip-gram's settings but for the family. Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    base = skipgram.get_config()
    return Config("subword", SubwordConfig(buckets=200_000), train=base.train, optimizer=base.optimizer)
