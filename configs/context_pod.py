"""A masked transformer over words of BERT base's size, 12 layers of 768, for a Cloud TPU slice; see docs/senses.md.

    python -m launch.tpu run senses --zone=us-west4-a --accelerator=v5litepod-16 --spot --keep-alive -- \
        python -m experiments.train --config=configs/context_pod.py --workdir=gs://my-bucket/masked \
        [--config.model.vectors=gs://my-bucket/words/vectors.bin]

What `configs/context_masked.py` does on two cores, on all of Wikipedia: 131,072 words, windows of 256 tokens that stay
within a paragraph, a quarter of the tokens hidden, and 8,192 drawn words for the softmax. Word vectors to start from
have 768 dimensions, trained by `configs/skipgram.py` on the same tokens. Batches, parameters and the optimiser's state
are split over all chips.

Hardware: v5litepod-16 (4 hosts of 4 chips). Data: `tfds:wiki40b/en`, prepared once, on one machine, with
`--config.data.offline=False`. The step lowers; time and quality have not been measured.
"""

import dataclasses

from configs import context_masked, gpt2_pod, recipes
from w2v_jax.config import Config, MeshConfig, TrainConfig


def get_config() -> Config:
    """The data of `configs/gpt2_pod.py` by words; about 100,000 steps of 131,072 tokens."""
    small, pod = context_masked.get_config(), gpt2_pod.get_config()
    return dataclasses.replace(
        small,
        model=dataclasses.replace(
            small.model,
            layers=12,
            dim=768,
            heads=12,
            length=256,
            init_scale=0.036,
            noise_words=8192,
            dtype="bfloat16",
            loop="scan",
            remat=True,
        ),
        data=dataclasses.replace(
            small.data,
            source=pod.data.source,
            data_dir=pod.data.data_dir,
            cache_dir=pod.data.cache_dir,
            max_vocab=131_072,
            heldout_every=1000,
        ),
        train=TrainConfig(batch_size=512, passes=8.0, max_steps=100_000, steps_per_call=20),
        optimizer=dataclasses.replace(recipes.LARGE, learning_rate=7e-4, warmup_steps=2000),
        checkpoint=pod.checkpoint,
        log=pod.log,
        mesh=MeshConfig(fsdp=True),
    )
