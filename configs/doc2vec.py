"""Paragraph vectors of documents (doc2vec), PV-DBOW or PV-DM.

    python -m experiments.train --config=configs/doc2vec.py --workdir=runs/doc2vec \
        --config.data.source='text:corpus/*.txt' --config.data.document=file --config.model.documents=20000

Hardware: CPU cores. `configs/doc2vec_dm.py` is PV-DM, and `--config.model.words=True` trains words beside. 2.6 million
words of 20 Newsgroups, 10 passes: half a minute on one core; docs/benchmarks_vectors.md has what it gives.
`documents.npy` of the run has a row for each training document that holds a known word, in the order of the text.
"""

from w2v_jax.config import Config, DataConfig, OptimizerConfig, TrainConfig
from w2v_jax.models.doc2vec import Doc2VecConfig


def get_config() -> Config:
    """PV-DBOW. No document is held out: it would have no vector. Sources: pydocs (no download), text:GLOB, ..."""
    return Config(
        family="doc2vec",
        model=Doc2VecConfig(),
        data=DataConfig(heldout_every=0, block_tokens=1024),
        train=TrainConfig(batch_size=2048, steps_per_call=128, passes=20),
        optimizer=OptimizerConfig(learning_rate=0.15, initial_square=0.1),
    )
