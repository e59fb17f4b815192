"""The small Penn Treebank model with dropout on all but the recurrent connections (Zaremba et al. 2014).

    python -m experiments.train --config=configs/ptb_regularised.py --workdir=runs/ptb_regularised \
        --config.data.source=text:ptb.train.txt --config.data.heldout_source=text:ptb.valid.txt \
        --config.data.test_source=text:ptb.test.txt

As `configs/ptb.py`, but for what is changed below. Hardware: 2 CPU cores, about 20 minutes with
nothing beside it. Test perplexity 95.1 (docs/benchmarks_language.md).
"""

from configs import ptb
from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.overrides import override


def get_config() -> Config:
    """The unregularised recipe, with a slower decay of the rate."""
    changes = {"model.dropout": 0.2, "train.passes": 10.0, "optimizer.hold_passes": 5, "optimizer.decay": 0.6}
    return override(ptb.get_config(), changes, MODELS)
