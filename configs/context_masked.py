"""A small masked transformer over words, for vectors of words in their context; docs/senses.md has its use.

    python -m experiments.train --config=configs/skipgram.py --workdir=runs/words --config.model.dim=128 \
        --config.train.passes=3 --config.data.source='text:wiki/*.txt.xz' --config.data.tokens=punctuation \
        --config.data.unknown=keep --config.data.max_vocab=32768 --config.data.end_token='<eos>'
    python -m experiments.train --config=configs/context_masked.py --workdir=runs/masked \
        --config.data.source='text:wiki/*.txt.xz' --config.model.vectors=runs/words/vectors.bin \
        [--config.model.objective=causal --config.model.mask_share=0.15]

The first command makes the word vectors that the second starts from, with the same tokens; without `model.vectors` they
are drawn. What makes so small a model learn from little text: that start; a quarter of the tokens hidden instead of
15 %; 2,048 drawn words in place of the whole vocabulary in the softmax; windows of 64 tokens in which attention stays
within a paragraph, so that short texts are nothing new; weights that start at about 1 / sqrt(dim). With
`model.objective=causal` the same model reads from left to right, for comparison.

Hardware: one of 2 CPU cores, about an hour for three quarters of a pass over 30 million tokens.
`configs/context_pod.py` is the same on a slice of TPUs.
"""

import dataclasses

from configs import language, recipes
from w2v_jax.config import CheckpointConfig, Config, LogConfig, TrainConfig
from w2v_jax.models.transformer import TransformerConfig


def get_config() -> Config:
    """Three layers of 128 over 32,768 words; a paragraph (line) is a document."""
    base = language.get_config()
    return dataclasses.replace(
        base,
        family="transformer",
        model=TransformerConfig(
            objective="masked",
            layers=3,
            dim=128,
            heads=4,
            length=64,
            init_scale=0.09,
            mask_share=0.25,
            within_documents=True,
            noise_words=2048,
        ),
        data=dataclasses.replace(base.data, max_vocab=32_768),
        train=TrainConfig(batch_size=64, passes=0.75, steps_per_call=20),
        optimizer=dataclasses.replace(recipes.SMALL, learning_rate=3e-3, final_fraction=0.05, warmup_steps=300),
        checkpoint=CheckpointConfig(every_steps=500),
        log=LogConfig(every_steps=20, eval_every_steps=500, eval_steps=8),
    )
