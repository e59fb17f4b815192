"""Runs along the frontier of Wikipedia: seven widths with as much text as suits them, three seeds, up to 9.3e12 FLOPs.

    python -m experiments.scaling --config=configs/scaling/forecast_frontier_wiki.py --workdir=runs/frontier_wiki \
        --config.data.source='text:wiki_en/*.txt.xz'

The grid of `forecast_wiki_further.py` has runs far from the best split of their compute, and few on it. A quadratic
through its 24 runs puts the best width of 5e11 to 1e13 FLOPs within a few units of those that `tokens` gives, which
grow with the width to the power of 1.5.

The rate is that of a scale rule with a rate of its own for the embedding (`transfer_large.py`). It falls a little with
the text: at a width of 32 the best of .003, .0042, .006 and .0084 is .0042 with 1.8 million tokens, and with 7.2
million .0021 to .006 are level; at 128 units and 1.8 million .003 is the best of .0021 to .006
(results/forecasts/frontier_trials.jsonl: `forecast_wiki_further.py` with these sizes and rates, and `RULE` or none).

Hardware: one core of an AMD EPYC, about 35 minutes.
"""

import dataclasses

from configs.scaling import forecast_wiki_further, transfer_large
from w2v_jax.scaling import study
from w2v_jax.scaling.study import Study

WIDTHS = (16, 24, 32, 40, 48, 56, 64)
RULE = f"{transfer_large.TABLES} model.base_dim=64 model.base_heads=4 model.init_scale=0.05"


def tokens(width: int) -> float:
    """Tokens of a width at the best split, 3.7 million at 52 units, to two digits."""
    return float(f"{3.7e6 * (width / 52) ** 1.5:.2g}")


def rate(tokens: float) -> float:
    """The learning rate of a run of so many tokens, to two digits."""
    return float(f"{0.0045 * (tokens / 1.8e6) ** -0.2:.2g}")


def size(width: int) -> str:
    """The overrides of a width on the frontier."""
    text = tokens(width)
    return f"{forecast_wiki_further.size(width)} tokens={text:.0f} optimizer.learning_rate={rate(text)}"


def get_config() -> Study:
    """As `forecast_wiki_further.py`, with one amount of text a width."""
    grid = forecast_wiki_further.get_config()
    arm = grid.arms["transformer"]
    arms = {"transformer": dataclasses.replace(arm, run=study.sized(arm.run, RULE), sizes=tuple(map(size, WIDTHS)))}
    return dataclasses.replace(grid, arms=arms, most_flops=0.0, seeds=(0, 1, 2))
