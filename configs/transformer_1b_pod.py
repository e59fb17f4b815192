"""A transformer of a billion parameters, 20 layers of 2,048 over 32,000 byte pairs, for a Cloud TPU slice.

    python -m launch.tpu run lm --zone=us-central1-a --accelerator=v5litepod-256 --keep-alive -- \
        python -m experiments.train --config=configs/transformer_1b_pod.py --workdir=gs://my-bucket/1b

Hardware: a slice of v5e-256, or of 64 or 128 chips of v5p; `python -m launch.preflight
--config=configs/transformer_1b_pod.py --topology=v5e-256` says what a step needs there, and docs/preflight.md has its
answers. Data: `tfds:c4/en`, prepared once, on one machine, with `--config.data.offline=False`. A batch is a million
tokens, and one pass over the 20 billion of `data.tokens_limit` is about 20 a parameter (Hoffmann et al. 2022, arXiv
2203.15556). One host encodes them: let a machine without chips fill the cache first (docs/tpu.md, Data).
Parameters and the optimiser's state are fully sharded; with `mesh.model=4` a quarter of the parameters is gathered at
a time. docs/preflight.md says on which slices a step was compiled and fits. Time and quality have not been measured.
"""

import dataclasses

from configs import gpt2_pod, recipes
from w2v_jax.config import Config, MeshConfig, TrainConfig

TOKENS = 20_000_000_000  # of C4, no more is read


def get_config() -> Config:
    """The rest as in `configs/gpt2_pod.py`."""
    gpt2 = gpt2_pod.get_config()
    return dataclasses.replace(
        gpt2,
        model=dataclasses.replace(gpt2.model, layers=20, dim=2048, heads=16, length=2048),
        data=dataclasses.replace(
            gpt2.data, source="tfds:c4/en", max_vocab=32_000, heldout_every=10_000, tokens_limit=TOKENS
        ),
        train=TrainConfig(batch_size=512, passes=1.0, max_steps=19_074, steps_per_call=10),
        optimizer=dataclasses.replace(recipes.LARGE, learning_rate=3e-4, warmup_steps=1000),
        mesh=MeshConfig(fsdp=True, model=4),
    )
