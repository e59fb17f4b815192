"""The small Penn Treebank model with dropout on all but the recurrent connections (Zaremba et al. 2014).

    python -m experiments.train --config=configs/ptb_regularised.py --workdir=runs/ptb_regularised \
        --config.data.source=text:ptb.train.txt --config.data.heldout_source=text:ptb.valid.txt \
        --config.data.test_source=text:ptb.test.txt

As `configs/ptb.py`, but for what is changed below. Hardware: 2 CPU cores, about 20 minutes with
nothing beside it. Test perplexity 95.1 (docs/benchmarks.md).
"""

import ml_collections

from configs import ptb


def get_config() -> ml_collections.ConfigDict:
    """The unregularised recipe, with a slower decay of the rate."""
    config = ptb.get_config()
    config.model.update(dropout=0.2)
    config.train.update(passes=10.0)
    config.optimizer.update(hold_passes=5, decay=0.6)
    return config
