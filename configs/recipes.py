"""Optimisers that several configs share. What differs is replaced in each of them, the learning rate always."""

import dataclasses

from w2v_jax.config import OptimizerConfig

# AdamW, a cosine schedule, gradients clipped at norm 1.
ADAMW = OptimizerConfig(dense="adamw", schedule="cosine", clip_norm=1.0)
# Of small transformers.
SMALL = dataclasses.replace(ADAMW, beta2=0.98, weight_decay=0.1)
# Of transformers as large as GPT-2 small and above.
LARGE = dataclasses.replace(ADAMW, final_fraction=0.1, beta2=0.95, weight_decay=0.1)
