"""A study for Cloud TPU: transformers of 1 million to 1 billion parameters on `tfds:c4`.

    python -m experiments.scaling --config=configs/scaling/pod.py --plan --device=v5e:8
    python -m launch.tpu run study-0 --zone=us-west4-a --accelerator=v5litepod-8 --spot --keep-alive --max-hours=72 -- \
        python -m experiments.scaling --config=configs/scaling/pod.py --workdir=gs://my-bucket/study --shard=0/8

Hardware: eight v5litepod-8 of one host each, the command above on each with its own shard. The longest shard, which is
the largest run, takes two days by `--plan --shard=0/8`, more than the launcher's 24 hours. The hosts of a larger slice
join one study by themselves. Data: `tfds:c4/en`, prepared once, on one machine, with `--config.data.offline=False`;
`data.tokens_limit` is what the largest run uses, and one host tokenises that into the cache in the bucket. Parameters
and the optimiser's state are fully sharded over the chips of a host. Time and quality have not been measured; `--plan`
prints what to expect.
"""

import dataclasses

from configs import gpt2_pod, recipes
from w2v_jax.config import TrainConfig
from w2v_jax.scaling.study import Arm, Study

VOCABULARY = 32_000
TOKENS = (1_000_000_000, 4_000_000_000, 16_000_000_000)  # of C4, no more is read than the last of these
# Width: (layers, heads, learning rate).
SIZES = {
    32: (2, 2, 8e-3),
    96: (4, 2, 5e-3),
    256: (6, 4, 2e-3),
    512: (8, 8, 1e-3),
    1024: (12, 8, 6e-4),
    1536: (20, 12, 4e-4),
    2048: (18, 16, 3e-4),
}


def get_config() -> Study:
    """Every size at 1, 4 and 16 billion tokens, half a million a step; the rest as in `configs/gpt2_pod.py`."""
    gpt2 = gpt2_pod.get_config()
    run = dataclasses.replace(
        gpt2,
        train=TrainConfig(batch_size=512, steps_per_call=10),
        optimizer=dataclasses.replace(recipes.LARGE, warmup_steps=200),
    )
    sizes = tuple(
        f"model.dim={dim} model.layers={layers} model.heads={heads} optimizer.learning_rate={rate}"
        + (" train.accumulate=4" if dim > 1024 else "")  # else the largest does not fit on eight v5e
        for dim, (layers, heads, rate) in SIZES.items()
    )
    return Study(
        data=dataclasses.replace(
            gpt2.data, source="tfds:c4/en", max_vocab=VOCABULARY, heldout_every=10_000, tokens_limit=TOKENS[-1]
        ),
        tokens=TOKENS,
        vocabulary=VOCABULARY,
        window=1024,
        arms={"transformer": Arm(run, sizes)},
    )
