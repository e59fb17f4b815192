"""A transformer language model on any text, beside `configs/language.py`: same text, tokens and scoring.

    python -m experiments.train --config=configs/transformer.py --workdir=runs/transformer \
        [--config.model.keys_values=per_layer|shared_k|shared_v|shared_kv --config.model.objective=causal|masked \
         --config.data.source=text:FILE|tfds:NAME|pydocs --config.data.tokens=punctuation|bpe|characters]
    python -m experiments.evaluate --workdir=runs/transformer

Without options: the documentation of the installed packages (pydocs, no download), 8,192 words, 4 layers of 256, keys
and values of each layer's own. `shared_kv` computes key and value once, from the embeddings, for all layers. The masked
objective has no next-token probabilities, so that `experiments.evaluate` does not score it. Other texts: the options of
`configs/language.py`.

Hardware: 2 CPU cores, about 40 minutes on an AMD EPYC by the time left that it prints; no result is recorded.
"""

import dataclasses

from configs import language, recipes
from w2v_jax.config import Config
from w2v_jax.models.transformer import TransformerConfig


def get_config() -> Config:
    """The data of `configs/language.py`; longer windows and a lower rate, as nothing is carried between windows."""
    recurrent = language.get_config()
    return dataclasses.replace(
        recurrent,
        family="transformer",
        model=TransformerConfig(layers=4, dim=256, heads=4, length=128, dropout=0.1),
        train=dataclasses.replace(recurrent.train, steps_per_call=10),
        optimizer=dataclasses.replace(recipes.SMALL, learning_rate=1e-3, final_fraction=0.1, warmup_steps=200),
    )
