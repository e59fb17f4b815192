"""The notes' transformer: 12 layers of 768 over 50,000 words, one key and one value matrix for all layers.

    python -m experiments.train --config=configs/notes_transformer.py --workdir=runs/notes \
        --config.data.source=text:'wiki_en.*.txt.xz'
    python -m experiments.ledger --config=configs/notes_transformer.py --vocab=50000

110,358,528 weights: 38,400,000 in the embedding, which is the head too, 7,077,888 in the queries, 589,824 each in the
key and the value matrix, the rest in output projections and feed-forward layers; `experiments.ledger` prints them for
all four ways of sharing. The usual model beside it: `--config.model.keys_values=per_layer`.

Hardware: one GPU or TPU chip with 40 GB, in bfloat16; a CPU takes minutes a step. No time and no result is recorded
yet.
"""

import dataclasses

from configs import recipes
from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, TrainConfig
from w2v_jax.models.transformer import TransformerConfig


def get_config() -> Config:
    """Words and marks, as in `configs/transformer.py`."""
    return Config(
        family="transformer",
        model=TransformerConfig(
            layers=12, dim=768, heads=12, length=512, keys_values="shared_kv", dtype="bfloat16", head_chunk=4096
        ),
        data=DataConfig(
            source="pydocs", tokens="punctuation", min_count=1, max_vocab=50_000, unknown="keep", end_token="<eos>"
        ),
        train=TrainConfig(batch_size=64, passes=3.0, steps_per_call=10),
        optimizer=dataclasses.replace(recipes.LARGE, learning_rate=6e-4, warmup_steps=500),
        checkpoint=CheckpointConfig(every_steps=500),
        log=LogConfig(every_steps=20, eval_steps=20),
    )
