"""Words of Wikipedia: transformer and LSTM over sizes and amounts of text, two more families at three sizes.

    python -m experiments.scaling --config=configs/scaling/wiki.py --workdir=runs/wiki \
        --config.data.source='text:wiki_en/*.txt.xz'

What the notes claim is next-word accuracy, so tokens are words: the 10,000 most frequent, all others one <unk>. The
last paragraph of every 200 is held out. Contexts of 128 words, so that what an LSTM gains beyond 100 can be seen.

Hardware: 2 CPU cores, about an hour and a half; `--shard=0/2` and `--shard=1/2` make the halves on two machines, or at
once on one core each (`taskset`). Result: 20 % of the next words are found from a million parameters on, where the
notes claim 70; docs/benchmarks.md has the laws.
"""

import dataclasses

import ml_collections

from configs.scaling.synthetic import sizes
from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.study import Arm, Study, editable

TOKENS = (480_000, 1_600_000, 5_000_000)  # more than a decade, whatever whole steps make of it
RECURRENT = "dim={0} model.hidden={0}"


def run(family: str, model: object) -> Config:
    """What the runs of an arm have in common: steps of 2,048 words."""
    return Config(
        family=family,
        model=model,
        train=TrainConfig(batch_size=16, steps_per_call=10),
        optimizer=OptimizerConfig(
            dense="adamw",
            schedule="cosine",
            final_fraction=0.05,
            warmup_steps=30,
            clip_norm=1.0,
            beta2=0.98,
        ),
        checkpoint=CheckpointConfig(every_steps=400, keep=1),
        log=LogConfig(every_steps=40, eval_every_steps=1_000_000, eval_steps=0, tensorboard=False),
        mesh=MeshConfig(data=1),
    )


def get_config() -> ml_collections.ConfigDict:
    """Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    transformer = TransformerConfig(layers=4, heads=4, dim=64, length=128, head_chunk=512)
    shared = dataclasses.replace(transformer, keys_values="shared_kv")
    elementwise = RecurrentLMConfig(
        cell="elementwise", layers=1, hidden=64, dim=64, tied=True, length=128, reset=0.25, head_chunk=512
    )
    lstm = dataclasses.replace(elementwise, cell="lstm", forget_bias=1.0)
    return editable(
        Study(
            data=DataConfig(source="pydocs", max_vocab=10_000, unknown="keep", end_token="<eos>", heldout_every=200),
            tokens=TOKENS,
            window=128,
            arms={
                "transformer": Arm(
                    run("transformer", transformer), sizes("dim={}", {16: 0.01, 32: 0.006, 64: 0.004, 128: 0.0025})
                ),
                "lstm": Arm(run("recurrent_lm", lstm), sizes(RECURRENT, {12: 0.02, 32: 0.015, 64: 0.01, 128: 0.006})),
                "elementwise": Arm(
                    run("recurrent_lm", elementwise), sizes(RECURRENT, {12: 0.02, 64: 0.01, 128: 0.006}), TOKENS[-1:]
                ),
                "shared_kv": Arm(
                    run("transformer", shared), sizes("dim={}", {16: 0.01, 64: 0.004, 128: 0.0025}), TOKENS[-1:]
                ),
            },
        )
    )
