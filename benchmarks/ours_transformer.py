"""Our side of the transformer benchmark: the training step of `experiments.train`, fed ready-made arrays.

    python -m benchmarks.ours_transformer --steps=24

Prints one JSON line. The model is `w2v_jax.models.transformer`; compilation and the first STACK steps are not timed.
"""

from __future__ import annotations

import json

from benchmarks.our_steps import config_of, timed
from benchmarks.sides import SCALE, Memory, TransformerSizes, arguments
from w2v_jax.models.transformer import TransformerConfig


def model_of(sizes: TransformerSizes) -> TransformerConfig:
    """The model of these sizes, otherwise as it comes."""
    return TransformerConfig(
        layers=sizes.layers, dim=sizes.dim, heads=sizes.heads, length=sizes.length, init_scale=SCALE
    )


def main() -> None:
    sizes, steps = arguments(TransformerSizes)
    print(json.dumps(timed(Memory(), config_of("transformer", model_of(sizes), sizes.batch), sizes, steps)))


if __name__ == "__main__":
    main()
