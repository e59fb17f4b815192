"""Word vectors of few dimensions on little text, to forecast the similarity and analogy tests of larger ones.

    python -m experiments.scaling --config=configs/scaling/word2vec_ladder.py --workdir=runs/vectors_small \
        --config.data.source='text:wiki_en/*.txt.xz' --data_dir=word_eval
    python -m experiments.scaling --forecast=results/forecasts/vectors.json --laws=runs/vectors_small/results.jsonl \
        --config=configs/scaling/word2vec_ladder_large.py --config.data.source='text:wiki_en/*.txt.xz'

Settings and vocabulary are those of `word2vec.py`. Loss is that of skip-gram with negative sampling on held-out text.

Hardware: one CPU core, about a quarter of an hour.
"""

import dataclasses

from configs.scaling import word2vec
from w2v_jax.scaling.study import Arm, Study

DIMS = (16, 32, 64, 128, 192)  # a law of N needs a decade
TOKENS = (500_000, 750_000, 1_500_000, 3_000_000, 6_000_000)
MOST = 8.5e10  # FLOPs: 64 dimensions on 6 million words


def get_config() -> Study:
    """22 sizes and amounts, three seeds each. Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    study = word2vec.get_config()
    arms = {name: Arm(arm.run, tuple(f"model.dim={d}" for d in DIMS)) for name, arm in study.arms.items()}
    return dataclasses.replace(study, arms=arms, tokens=TOKENS, most_flops=MOST, seeds=(0, 1, 2))
