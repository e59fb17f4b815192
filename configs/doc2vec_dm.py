"""Paragraph vectors of documents (doc2vec) by PV-DM: the mean of the document and the window predicts each word.

    python -m experiments.train --config=configs/doc2vec_dm.py --workdir=runs/doc2vec_dm \
        --config.data.source='text:corpus/*.txt' --config.data.document=file --config.model.documents=20000

Hardware: CPU cores. 2.6 million words of 20 Newsgroups, 10 passes: about a minute on one core;
docs/benchmarks_vectors.md has what it gives beside PV-DBOW.
"""

from configs import doc2vec
from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.overrides import override


def get_config() -> Config:
    """The settings of PV-DBOW but for these."""
    return override(doc2vec.get_config(), {"model.form": "dm", "optimizer.learning_rate": 0.3}, MODELS)
