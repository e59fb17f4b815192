"""The runs that results/forecasts/vectors.json forecasts: 10 and 24 times the FLOPs of the largest of
`word2vec_ladder.py`.

    python -m experiments.scaling --config=configs/scaling/word2vec_ladder_large.py --workdir=runs/vectors_large \
        --config.data.source='text:wiki_en/*.txt.xz' --data_dir=word_eval

Hardware: one CPU core, a quarter of an hour.
"""

import dataclasses

from configs.scaling import word2vec_ladder
from w2v_jax.scaling.study import Arm, Study

SIZES = ("model.dim=160", "model.dim=384")


def get_config() -> Study:
    """24 million words, nearly the whole text; two seeds."""
    study = word2vec_ladder.get_config()
    arms = {name: Arm(arm.run, SIZES) for name, arm in study.arms.items()}
    return dataclasses.replace(study, arms=arms, tokens=(24_000_000,), most_flops=0.0, seeds=(3, 4))
