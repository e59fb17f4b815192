"""The small Penn Treebank model with dropout, a tied head and AdamW: as many parameters less one table, lower loss.

    python -m experiments.train --config=configs/ptb_regularised.py --workdir=runs/ptb_regularised \
        --config.data.source=text:ptb.train.txt --config.data.heldout_source=text:ptb.valid.txt \
        --config.data.test_source=text:ptb.test.txt

As `configs/ptb.py`, but for what is changed below. Hardware: 2 CPU cores; no run is recorded yet.
"""

import ml_collections

from configs import ptb


def get_config() -> ml_collections.ConfigDict:
    """Overrides of the unregularised recipe."""
    config = ptb.get_config()
    config.model.update(tied=True, dropout=0.25, length=35)
    config.train.update(batch_size=32, passes=8.0)
    config.optimizer.update(
        dense="adamw", learning_rate=3e-3, schedule="cosine", warmup_steps=200, clip_norm=1.0, weight_decay=0.01
    )
    return config
