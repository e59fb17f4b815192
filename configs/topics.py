"""Topics of a small text: LSA of the docstrings of the installed packages (`pydocs`, no download).

    python -m experiments.topics --config=configs/topics.py --workdir=runs/topics

LDA is fitted to the same text with as many topics (configs/topics_lda.py). For a text of yours add
--config.data.source=text:FILE; a line is a document. Hardware: 2 CPU cores; LSA takes some seconds.
"""

from w2v_jax.config import Config, DataConfig
from w2v_jax.models.lsa import LSAConfig


def get_config() -> Config:
    """pydocs, 20 topics; the 150 most frequent words are left out as a stop list."""
    return Config(
        family="lsa",
        model=LSAConfig(dim=20, sublinear=True),
        data=DataConfig(source="pydocs", heldout_every=20, skip_top=150),
    )
