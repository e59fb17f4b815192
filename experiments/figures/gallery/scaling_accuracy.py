"""Next-word accuracy by parameters at the most tokens, beside the notes' claims."""

from __future__ import annotations

import numpy as np

from experiments.figures.figure import Figure, Result
from experiments.figures.studies import KEYS, WIKI, WIKI_DATA, arms, collect
from w2v_jax.figures import scaling_study
from w2v_jax.figures.published import Tolerance, beside
from w2v_jax.files import PathLike
from w2v_jax.papers import CLAIMED_ACCURACY, NOTES
from w2v_jax.scaling import analysis

_KEPT = (*KEYS, "heldout_accuracy")


def _curves(result: Result) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {arm: analysis.accuracies(own) for arm, own in arms(result, _KEPT).items()}


def measure(result: Result) -> dict[str, float]:
    """The best of each arm, and of all models of at least a million parameters, in per cent."""
    curves = _curves(result)
    large = [share for sizes, shares in curves.values() for n, share in zip(sizes, shares, strict=True) if n >= 1e6]
    best = {arm: 100.0 * float(shares.max()) for arm, (_, shares) in curves.items()}
    return best | {"best from 1M parameters on": 100.0 * float(max(large))}


def draw(result: Result, out: PathLike, source: str) -> None:
    """One line an arm."""
    scaling_study.draw_accuracy(_curves(result), CLAIMED_ACCURACY, out, source=source)


FIGURE = Figure(
    shows="next-word accuracy on Wikipedia by parameters, beside what the notes claim",
    paper="none: a claim of the notes",
    recipe=WIKI,
    data=WIKI_DATA,
    collect=collect(*_KEPT),
    measure=measure,
    draw=draw,
    numbers=(
        beside(
            NOTES,
            "next-word accuracy at 1M parameters",
            "best from 1M parameters on",
            Tolerance("what the notes claim, less 5 points", lowest=65.0),
            differs="words of Wikipedia, 10,002 of them",
        ),
    ),
)
