"""Non-negative matrix factorisation of a small text: topics of the docstrings of the installed packages (`pydocs`).

    python -m experiments.train --config=configs/nmf.py --workdir=runs/nmf

For a text of yours add --config.data.source=text:FILE; a line is a document. Hardware: 2 CPU cores, seconds.
"""

from w2v_jax.config import Config, DataConfig
from w2v_jax.models.nmf import NMFConfig


def get_config() -> Config:
    """20 topics of TF-IDF rows; the 150 most frequent words are left out."""
    return Config(family="nmf", model=NMFConfig(), data=DataConfig(source="pydocs", heldout_every=20, skip_top=150))
