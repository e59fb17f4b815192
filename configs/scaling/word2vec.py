"""Word vectors by dimensions and training words: the heat map of Mikolov et al. 2013 (arXiv 1301.3781, Table 2).

    python -m experiments.scaling --config=configs/scaling/word2vec.py --workdir=runs/word2vec_study \
        --config.data.source='text:wiki_en/*.txt.xz' --data_dir=word_eval

Skip-gram with negative sampling from 50 to 1,536 dimensions, 384 among them, each over four amounts of text, read once;
the report tables quality by test, words/s and memory. The vocabulary is that of the whole text in every run, as in the
paper, where it was restricted alike for all.

Hardware: 2 CPU cores, half an hour. Result: 1,536 dimensions are no better than 384, four times slower and four times
as large; docs/benchmarks_vectors.md.
"""

import dataclasses

from configs import skipgram
from w2v_jax.config import CheckpointConfig, LogConfig
from w2v_jax.scaling.study import Arm, Study

DIMS = (50, 100, 384, 768, 1536)
TOKENS = (3_000_000, 6_000_000, 12_000_000, 24_000_000)


def get_config() -> Study:
    """Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    config = skipgram.get_config()
    run = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, segment=128),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=0.2, initial_square=0.0),
        checkpoint=CheckpointConfig(every_steps=1_000_000, keep=1),
        log=LogConfig(every_steps=1024, tensorboard=False),
    )
    data = dataclasses.replace(config.data, tokens="letters")  # as in the published runs
    return Study(data=data, tokens=TOKENS, arms={"skipgram": Arm(run, tuple(f"model.dim={d}" for d in DIMS))})
