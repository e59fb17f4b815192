"""Skip-gram, d = 300, on the billion words of lm1b, for a Cloud TPU slice.

    python -m launch.tpu run w2v --zone=us-west4-a --accelerator=v5litepod-16 --spot --keep-alive -- \
        python -m experiments.train --config=configs/lm1b_pod.py --workdir=gs://my-bucket/lm1b

Hardware: v5litepod-16 (4 hosts of 4 chips). Data: `tfds:lm1b`, prepared once, on one machine, with
`--config.data.offline=False`; the hosts tokenise it together into the cache in the bucket, each a slice. Tables are
split over `model`, batches over `data`. Time and quality have not been measured; docs/preflight.md has what the
compiled step needs and at most reaches on slices of v5e and v5p.
"""

from w2v_jax.config import (
    CheckpointConfig,
    Config,
    DataConfig,
    LogConfig,
    MeshConfig,
    OptimizerConfig,
    TrainConfig,
)
from w2v_jax.models.word2vec import Word2VecConfig


def get_config() -> Config:
    """The vocabulary is capped so that both tables fit one chip twice over."""
    return Config(
        family="word2vec",
        model=Word2VecConfig(dim=300, sample=1e-5),
        data=DataConfig(
            source="tfds:lm1b",
            data_dir="gs://my-bucket/tfds",
            cache_dir="gs://my-bucket/cache",
            max_vocab=400_000,
            heldout_every=1000,
        ),
        train=TrainConfig(passes=5.0, batch_size=65_536, steps_per_call=64),
        optimizer=OptimizerConfig(learning_rate=0.3),
        checkpoint=CheckpointConfig(every_steps=4096),
        log=LogConfig(every_steps=256),
        mesh=MeshConfig(model=4),
    )
