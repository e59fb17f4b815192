"""Runs that learned how often each token occurs and nothing else: no law of size describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

RULE = (
    "on the plateau of single words: the held-out loss is no lower than by counts alone, and the accuracy is the share "
    "of the most frequent token (where that baseline is not recorded: the lowest accuracy of an arm, equal in every "
    "digit in two runs or more, whose losses are the highest of the arm)"
)
_SAME = 1e-3  # of two accuracies: the baseline also counts the first tokens of the text


class Score(NamedTuple):
    """What a run scored on the held-out text, and what the counts of tokens alone score there; None is unknown."""

    loss: float
    accuracy: float | None
    unigram_loss: float | None
    unigram_accuracy: float | None


def on_plateau(scores: Sequence[Score]) -> list[bool]:
    """Which of the runs of one arm are on the plateau of single words, by `RULE`."""
    unknown = [s for s in scores if s.unigram_loss is None and s.accuracy is not None]
    lowest = min((s.accuracy for s in unknown if s.accuracy is not None), default=None)
    level = [s.loss for s in unknown if s.accuracy == lowest]
    others = [s.loss for s in unknown if s.accuracy != lowest]
    apart = len(level) > 1 and bool(others) and min(level) > max(others)
    return [apart and s.accuracy == lowest if s.unigram_loss is None else _by_counts(s) for s in scores]


def _by_counts(score: Score) -> bool:
    if score.unigram_loss is None or score.loss < score.unigram_loss:
        return False
    if score.accuracy is None or score.unigram_accuracy is None:
        return True
    return abs(score.accuracy - score.unigram_accuracy) <= _SAME
