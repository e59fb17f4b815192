"""A transformer language model on any text, beside `configs/language.py`: same text, tokens and scoring.

    python -m experiments.train --config=configs/transformer.py --workdir=runs/transformer \
        [--config.model.keys_values=per_layer|shared_k|shared_v|shared_kv --config.model.objective=causal|masked \
         --config.data.source=text:FILE|tfds:NAME|pydocs --config.data.tokens=punctuation|bpe|characters]
    python -m experiments.evaluate --workdir=runs/transformer

Without options: the documentation of the installed packages (pydocs, no download), 8,192 words, 4 layers of 256, keys
and values of each layer's own. `shared_kv` computes key and value once, from the embeddings, for all layers. The masked
objective has no next-token probabilities, so that `experiments.evaluate` does not score it. Other texts: the options of
`configs/language.py`.

Hardware: 2 CPU cores; no time and no result is recorded yet.
"""

import ml_collections

from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, OptimizerConfig, TrainConfig, editable
from w2v_jax.models.transformer import TransformerConfig


def get_config() -> ml_collections.ConfigDict:
    """The data of `configs/language.py`; longer windows and a lower rate, as nothing is carried between windows."""
    return editable(
        Config(
            family="transformer",
            model=TransformerConfig(layers=4, dim=256, heads=4, length=128, dropout=0.1),
            data=DataConfig(
                source="pydocs", tokens="punctuation", min_count=1, max_vocab=8192, unknown="keep", end_token="<eos>"
            ),
            train=TrainConfig(batch_size=32, passes=3.0, steps_per_call=10),
            optimizer=OptimizerConfig(
                dense="adamw",
                learning_rate=1e-3,
                schedule="cosine",
                final_fraction=0.1,
                warmup_steps=200,
                clip_norm=1.0,
                beta2=0.98,
                weight_decay=0.1,
            ),
            checkpoint=CheckpointConfig(every_steps=500),
            log=LogConfig(every_steps=20, eval_steps=0),
        )
    )
