"""A transformer of GPT-2 small's size, 12 layers of 768 over 50,257 byte pairs, for a Cloud TPU slice.

    python -m launch.tpu run lm --zone=us-west4-a --accelerator=v5litepod-16 --spot --keep-alive -- \
        python -m experiments.train --config=configs/gpt2_pod.py --workdir=gs://my-bucket/gpt2

Hardware: v5litepod-16 (4 hosts of 4 chips). Data: `tfds:wiki40b/en`, prepared once, on one machine, with
`--config.data.offline=False`; the hosts tokenise it together into the cache in the bucket, each a slice. Batches of
half a million tokens are split over all chips, and so are parameters and the optimiser's state (`mesh.fsdp`);
`--config.mesh.model=4` splits heads, feed-forward units and the vocabulary as well. Time and quality have not been
measured; docs/preflight.md has what the compiled step needs and at most reaches on slices of v5e and v5p.
"""

import dataclasses

from configs import recipes
from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, MeshConfig, TrainConfig
from w2v_jax.models.transformer import TransformerConfig


def get_config() -> Config:
    """Each layer has keys and values of its own; `--config.model.keys_values=shared_kv` for the notes' way."""
    return Config(
        family="transformer",
        model=TransformerConfig(
            layers=12, dim=768, heads=12, length=1024, dtype="bfloat16", loop="scan", remat=True, head_chunk=16_384
        ),
        data=DataConfig(
            source="tfds:wiki40b/en",
            data_dir="gs://my-bucket/tfds",
            cache_dir="gs://my-bucket/cache",
            tokens="bpe",
            lowercase=False,
            max_vocab=50_257,
            bpe_words=100_000_000,
            end_token="<eos>",
            heldout_every=1000,
        ),
        train=TrainConfig(batch_size=512, passes=4.0, steps_per_call=10),
        optimizer=dataclasses.replace(recipes.LARGE, learning_rate=6e-4, warmup_steps=700),
        checkpoint=CheckpointConfig(every_steps=500),
        log=LogConfig(every_steps=20, eval_steps=4),
        mesh=MeshConfig(fsdp=True),
    )
