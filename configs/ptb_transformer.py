"""Transformer on the Penn Treebank, of as many parameters as the small LSTM of `configs/ptb.py` (4.65 million).

    python -m experiments.train --config=configs/ptb_transformer.py --workdir=runs/ptb_transformer \
        --config.data.source=text:ptb.train.txt --config.data.heldout_source=text:ptb.valid.txt \
        --config.data.test_source=text:ptb.test.txt
    python -m experiments.evaluate --workdir=runs/ptb_transformer

Text as in `configs/ptb.py`. A tied head and 4 layers of 224: 2,240,000 in the embedding, 2,408,448 in matrices, 2,016
in norms, where the LSTM has 4,651,600. A prediction sees only its window of 64 tokens; dropout and weight decay are
strong, as this text is small.

Hardware: 2 CPU cores, 49 minutes (3,800 tokens/s). Perplexity on the test text 86.6 by windows that overlap by half and
92.2 by blocks; on the validation text 91.9 and 97.6 (docs/benchmarks_language.md).
"""

import dataclasses

from configs import ptb, recipes
from w2v_jax.config import Config, TrainConfig
from w2v_jax.models.transformer import TransformerConfig


def get_config() -> Config:
    """Data, checkpoints and logs of the LSTM's recipe."""
    lstm = ptb.get_config()
    return dataclasses.replace(
        lstm,
        family="transformer",
        model=TransformerConfig(layers=4, dim=224, heads=7, length=64, dropout=0.25),
        train=TrainConfig(batch_size=32, passes=12.0, steps_per_call=20),
        optimizer=dataclasses.replace(
            recipes.SMALL, learning_rate=1e-3, final_fraction=0.05, warmup_steps=200, decay_embeddings=True
        ),
        checkpoint=dataclasses.replace(lstm.checkpoint, every_steps=450),  # about once a pass
    )
