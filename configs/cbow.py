"""CBOW on any text; the settings of the benchmark in docs/benchmarks_word2vec.md.

    python -m experiments.train --config=configs/cbow.py --workdir=runs/cbow --config.data.source='text:corpus/*.txt' \
        [--config.model.dim=300 --config.train.batch_size=4096 --config.model.noise_dtype=bfloat16 \
         --config.model.gradient_dtype=bfloat16]

Batches of 4,096 suit d = 300, and so do products and gradients of bfloat16; with model.loss=hierarchical, batches of
8,192 and optimizer.learning_rate=0.45 do. A run that was begun with the earlier first sums of Adagrad is continued with
--config.optimizer.initial_square=1.

Hardware: 2 CPU cores. 12.5 million words of Wikipedia, 5 passes, d = 100: under a minute with negative sampling; what
that gives on the similarity sets and the analogies is tabled in docs/benchmarks_word2vec.md. `--config.model.loss` may
be hierarchical or softmax, which scores the whole vocabulary for every word: hours on such text without an accelerator,
so meant for small vocabularies or a GPU.
"""

from configs import skipgram
from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.overrides import override


def get_config() -> Config:
    """Skip-gram's settings but for these. Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    changes = {"model.architecture": "cbow", "model.segment": 128, "model.noise_every": 4}
    changes |= {"optimizer.learning_rate": 0.6, "optimizer.initial_square": 10.0}
    return override(skipgram.get_config(), changes, MODELS)
