"""A recurrent language model on the synthetic language, whose best possible loss is known exactly.

    python -m experiments.train --config=configs/synthetic.py --workdir=runs/synthetic [--config.model.cell=elementwise]
    python -m experiments.evaluate --workdir=runs/synthetic

The evaluation tells how many nats a token the model is above that optimum, at verbs by the distance from their subject
too; `python -m experiments.figures optimum --workdir=DIR,DIR` draws it for several runs. Hardware: 2 CPU cores, a few
minutes; `configs/synthetic_optimum.py` has results.
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
