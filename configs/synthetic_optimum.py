"""How near a recurrent model comes to the best possible loss of the synthetic language, agreement at up to 32 words.

    python -m experiments.train --config=configs/synthetic_optimum.py --workdir=runs/lstm
    python -m experiments.train --config=configs/synthetic_optimum.py --workdir=runs/elementwise \
        --config.model.cell=elementwise
    python -m experiments.evaluate --workdir=runs/lstm; python -m experiments.evaluate --workdir=runs/elementwise
    python -m experiments.figures optimum --workdir=runs/lstm,runs/elementwise

Hardware: 2 CPU cores, about 5 minutes a run beside other work. The LSTM ends 0.014 nats a word above the optimum, 0.02
at verbs 32 words from their subject; the elementwise RNN 0.144, and 2.85 there (docs/benchmarks_language.md).
"""

from configs import synthetic
from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.overrides import override


def get_config() -> Config:
    """Four times the text of `configs/synthetic.py`, and steps of 1,024 words: agreement is learned late."""
    changes = {
        "data.synthetic.distances": "1,2,4,8,16,32",
        "data.synthetic.tokens": 4_000_000,
        "model.layers": 1,
        "model.forget_bias": 1.0,
        "train.batch_size": 16,
        "optimizer.learning_rate": 0.006,
    }
    return override(synthetic.get_config(), changes, MODELS)
