"""Runs along the frontier of Wikipedia: seven widths with as much text as suits them, three seeds, up to 9.2e12 FLOPs.

    python -m experiments.scaling --config=configs/scaling/forecast_frontier_wiki.py --workdir=runs/frontier_wiki \
        --config.data.source='text:wiki_en/*.txt.xz'

The grid of `forecast_wiki_further.py` has runs far from the best split of their compute, and few on it. A quadratic
through its 24 runs puts the best width of 5e11 to 1e13 FLOPs within a few units of those that `tokens` gives, which
grow with the width to the power of 1.5.

Hardware: one core of an AMD EPYC, about 35 minutes.
"""

import dataclasses

from configs.scaling import forecast_wiki_further
from w2v_jax.scaling.study import Study

WIDTHS = (16, 24, 32, 40, 48, 56, 64)


def tokens(width: int) -> float:
    """Tokens of a width at the best split, 3.7 million at 52 units, to two digits."""
    return float(f"{3.7e6 * (width / 52) ** 1.5:.2g}")


def size(width: int) -> str:
    """The overrides of a width on the frontier."""
    return f"{forecast_wiki_further.size(width)} tokens={tokens(width):.0f}"


def get_config() -> Study:
    """As `forecast_wiki_further.py`, with one amount of text a width."""
    study = forecast_wiki_further.get_config()
    arms = {name: dataclasses.replace(arm, sizes=tuple(map(size, WIDTHS))) for name, arm in study.arms.items()}
    return dataclasses.replace(study, arms=arms, most_flops=0.0, seeds=(0, 1, 2))
