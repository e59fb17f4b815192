"""Words of Wikipedia: transformer and LSTM over sizes and amounts of text, two more families at three sizes.

    python -m experiments.scaling --config=configs/scaling/wiki.py --workdir=runs/wiki \
        --config.data.source='text:wiki_en/*.txt.xz'

What the notes claim is next-word accuracy, so tokens are words: the 10,000 most frequent, all others one <unk>. The
last paragraph of every 200 is held out. Contexts of 128 words, so that what an LSTM gains beyond 100 can be seen.

Hardware: 2 CPU cores, about an hour and a half; `--shard=0/2` and `--shard=1/2` make the halves on two machines, or at
once on one core each (`taskset`). Result: 20 % of the next words are found from a million parameters on, where the
notes claim 70; docs/benchmarks_scaling.md has the laws.
"""

import dataclasses

from configs.scaling import synthetic
from w2v_jax.config import CheckpointConfig, Config, DataConfig, TrainConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.study import Study

DATA = DataConfig(
    source="pydocs", tokens="letters", max_vocab=10_000, unknown="keep", end_token="<eos>", heldout_every=200
)
TOKENS = (480_000, 1_600_000, 5_000_000)  # more than a decade, whatever whole steps make of it
RATES = {
    "transformer": {16: 0.01, 32: 0.006, 64: 0.004, 128: 0.0025},
    "lstm": {12: 0.02, 32: 0.015, 64: 0.01, 128: 0.006},
    "elementwise": {12: 0.02, 64: 0.01, 128: 0.006},
    "shared_kv": {16: 0.01, 64: 0.004, 128: 0.0025},
}


def run(family: str, model: object) -> Config:
    """What the runs of an arm have in common: steps of 2,048 words."""
    small = synthetic.run(family, model)
    return dataclasses.replace(
        small,
        train=TrainConfig(batch_size=16, steps_per_call=10),
        optimizer=dataclasses.replace(small.optimizer, final_fraction=0.05),
        checkpoint=CheckpointConfig(every_steps=400, keep=1),
        log=dataclasses.replace(small.log, every_steps=40),
    )


def get_config() -> Study:
    """Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    transformer = TransformerConfig(layers=4, heads=4, dim=64, length=128, head_chunk=512)
    elementwise = RecurrentLMConfig(
        cell="elementwise", layers=1, hidden=64, dim=64, tied=True, length=128, reset=0.25, head_chunk=512
    )
    arms = synthetic.arms(run, transformer, elementwise, RATES, TOKENS[-1])
    return Study(data=DATA, tokens=TOKENS, window=128, arms=arms)
