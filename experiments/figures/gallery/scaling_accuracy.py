"""Next-word accuracy by parameters at the most tokens, beside the notes' claims."""

from __future__ import annotations

import numpy as np

from experiments.figures.figure import Figure, Result
from experiments.figures.studies import KEYS, WIKI, WIKI_DATA, arms, collect
from w2v_jax.figures.published import Tolerance, beside
from w2v_jax.figures.scaling_study import draw_accuracy
from w2v_jax.papers import CLAIMED_ACCURACY
from w2v_jax.scaling import analysis

_KEPT = (*KEYS, "heldout_accuracy")
_CLAIM, _LEAST = "next-word accuracy at 1M parameters", Tolerance("what the notes claim, less 5 points", lowest=65.0)


def curves(result: Result) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(parameters, shares) of each arm."""
    return {arm: analysis.accuracies(own) for arm, own in arms(result, _KEPT).items()}


def measure(result: Result) -> dict[str, float]:
    """The best of each arm, and of all models of at least a million parameters, in per cent."""
    best = {arm: 100.0 * float(shares.max()) for arm, (_, shares) in curves(result).items()}
    large = max(float(shares[sizes >= 1e6].max(initial=0.0)) for sizes, shares in curves(result).values())
    return best | {"best from 1M parameters on": 100.0 * large}


FIGURE = Figure(
    shows="next-word accuracy on Wikipedia by parameters, beside what the notes claim",
    paper="none: a claim of the notes",
    recipe=WIKI,
    data=WIKI_DATA,
    collect=collect(*_KEPT),
    measure=measure,
    draw=lambda result, out, source: draw_accuracy(curves(result), CLAIMED_ACCURACY, out, source=source),
    numbers=(
        beside("notes", _CLAIM, "best from 1M parameters on", _LEAST, differs="words of Wikipedia, 10,002 of them"),
    ),
)
