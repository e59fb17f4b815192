"""LDA of a small text: topics of the docstrings of the installed packages (`pydocs`, no download).

    python -m experiments.train --config=configs/lda.py --workdir=runs/lda

For a text of yours add --config.data.source=text:FILE; a line is a document. Hardware: 2 CPU cores, a quarter of a
minute. The held-out loss ends at 7.39 nats per token over the 10,100 words kept, from left to right. Documents are
short here, and --config.model.method=cvb0 ends at 7.77.
"""

from w2v_jax.config import Config, DataConfig
from w2v_jax.models.lda import LDAConfig


def get_config() -> Config:
    """20 topics by Gibbs sampling, both priors fitted; the 150 most frequent words are left out."""
    return Config(
        family="lda",
        model=LDAConfig(topics=20, method="gibbs", sweeps=60, batch=16384),
        data=DataConfig(source="pydocs", heldout_every=20, skip_top=150),
    )
