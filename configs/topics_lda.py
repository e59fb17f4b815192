"""LDA beside the LSA of `experiments.topics`, which gives it the text, the seed and the number of topics.

    python -m experiments.train --config=configs/topics_lda.py --workdir=runs/lda

Alone it reads `pydocs`. Hardware: 2 CPU cores, some minutes.
"""

from configs import topics
from w2v_jax.config import Config
from w2v_jax.models.lda import LDAConfig


def get_config() -> Config:
    """20 topics of the text of configs/topics.py."""
    base = topics.get_config()
    return Config(family="lda", model=LDAConfig(topics=base.model.dim, method="cvb0", sweeps=60), data=base.data)
