"""A recurrent language model on the synthetic language, whose best possible loss is known exactly.

    python -m experiments.train --config=configs/synthetic.py --workdir=runs/synthetic [--config.model.cell=elementwise]
    python -m experiments.evaluate --workdir=runs/synthetic

The evaluation tells how many nats a token the model is above that optimum, at verbs by the distance from their subject
too; `python -m experiments.figures optimum --workdir=DIR,DIR` draws it for several runs. Hardware: 2 CPU cores, a few
minutes; `configs/synthetic_optimum.py` has results.
"""

from configs import language
from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.overrides import override


def get_config() -> Config:
    """Its text is generated, the same from the same `data.synthetic` keys."""
    changes = {
        "data.source": "synthetic",
        "data.heldout_source": "synthetic:heldout",
        "data.test_source": "synthetic:test",
        "data.tokens": "whitespace",
        "data.lowercase": False,
        "data.max_vocab": 0,
        "data.unknown": "error",
        "model.hidden": 128,
        "model.dim": 128,
        "model.tied": False,
        "model.dropout": 0.0,
        "train.passes": 4.0,
    }
    return override(language.get_config(), changes, MODELS)
