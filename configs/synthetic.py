"""A recurrent language model on the synthetic language, whose best possible loss is known exactly.

    python -m experiments.train --config=configs/synthetic.py --workdir=runs/synthetic [--config.model.cell=elementwise]
    python -m experiments.evaluate --workdir=runs/synthetic

`w2v_jax.data.bayes.optimum_of_split` gives the optimum of every position; the evaluation command does not show the
distance to it yet. Hardware: 2 CPU cores; no time and no result is recorded yet.
"""

import ml_collections

from configs import language


def get_config() -> ml_collections.ConfigDict:
    """Its text is generated, the same from the same `data.synthetic` keys."""
    config = language.get_config()
    config.data.update(
        source="synthetic",
        heldout_source="synthetic:heldout",
        test_source="synthetic:test",
        tokens="whitespace",
        lowercase=False,
        max_vocab=0,
        unknown="error",
    )
    config.model.update(hidden=128, dim=128, tied=False, dropout=0.0)
    config.train.update(passes=4.0)
    return config
