"""Learning rate at each size: five rates a size, each a factor of two from the next.

    python -m experiments.scaling --config=configs/scaling/learning_rate.py --workdir=runs/learning_rate \
        --config.data.source='text:wiki_en/*.txt.xz'

A law over sizes that all have one rate mixes the law with how well the rate suits each size (Porian et al. 2024, arXiv
2406.19146). The report says where the best rate is at an end of those tried. Text and models as in
`configs/scaling/wiki.py`, 480,000 words a run.

Hardware: 2 CPU cores, about a quarter of an hour by `--plan`.
"""

import dataclasses

from configs.scaling import wiki
from w2v_jax.scaling.study import Study


def get_config() -> Study:
    """The two families of the full grid, at its smallest amount of text."""
    study = wiki.get_config()
    arms = {name: study.arms[name] for name in ("transformer", "lstm")}
    rates = (0.25, 0.5, 1.0, 2.0, 4.0)
    return dataclasses.replace(study, arms=arms, tokens=study.tokens[:1], rates=rates, window=0)
