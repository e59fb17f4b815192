"""Latent Dirichlet allocation as the features of texts, for `experiments.classify`.

    python -m experiments.classify --config=configs/classify.py --lda=configs/classify_lda.py --workdir=runs/classify \
        --train=tsv:imdb/train.tsv.xz --test=tsv:imdb/test.tsv.xz

Hardware: 2 CPU cores. 2 to 5 minutes for 20 Newsgroups or IMDB beside other work (docs/classify.md).
"""

from w2v_jax.config import Config
from w2v_jax.models.lda import LDAConfig


def get_config() -> Config:
    """100 topics; the text is that of the other config."""
    return Config(family="lda", model=LDAConfig(topics=100))
