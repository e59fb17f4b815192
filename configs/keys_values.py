"""One rung of the key-value ladder: what a small transformer loses, and saves, when layers share keys and values.

    python -m experiments.keys_values --workdir=runs/keys_values --config=configs/keys_values.py \
        --config.data.source=text:'wiki_en.0[01].txt.xz'

trains and compares all rungs; one of them alone:

    python -m experiments.train --config=configs/keys_values.py --workdir=runs/shared_kv \
        --config.data.source=text:'wiki_en.0[01].txt.xz' --config.model.keys_values=shared_kv

4 layers of 160 over 4,096 byte pairs: 1,885,600 parameters with keys and values of each layer's own, of which sharing
both saves 153,440. Four million tokens, each seen once, so that nothing is learnt by heart; a fiftieth of the
paragraphs is held out. Sizes and rate are the same on every rung.

Hardware: 2 CPU cores, 8 to 12 minutes a run (8,100 and 5,800 tokens/s on two days). Held-out loss 4.636 nats a token
with keys and values of each layer's own; sharing values alone takes 0.061 off it, sharing keys alone adds 0.024,
sharing both takes 0.014 off (docs/benchmarks_language.md).
"""

import dataclasses

from configs import recipes
from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, TrainConfig
from w2v_jax.models.transformer import TransformerConfig


def get_config() -> Config:
    """Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    return Config(
        family="transformer",
        model=TransformerConfig(layers=4, dim=160, heads=4, length=128, head_chunk=512),
        data=DataConfig(
            source="pydocs", tokens="bpe", max_vocab=4096, lowercase=False, end_token="<eos>", heldout_every=50
        ),
        # Of the two shards above: 4.1 million tokens, 2,001 steps.
        train=TrainConfig(batch_size=16, passes=0.7, steps_per_call=10),
        optimizer=dataclasses.replace(recipes.SMALL, learning_rate=2e-3, final_fraction=0.05, warmup_steps=100),
        checkpoint=CheckpointConfig(every_steps=400),
        log=LogConfig(every_steps=20, eval_every_steps=400, eval_steps=0, tensorboard=False),
    )
