"""From the loss of a study's runs to their accuracy on tasks: step 2 of the ladder, one curve for each task.

    accuracy(loss) = b + a / (1 + exp(-k (loss - x0)))

The curve is fitted to the ends of the runs (`Record.scores`). Where the accuracy of a perfect model is known, this
point counts as much as all runs together: agreement is always right at the best possible loss of a generated language.
Elsewhere a and b are -1 and 1, from 0 to 1, unless the runs say otherwise (`second_step`, `plain`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.scaling.fitted import Refusal, Value
from w2v_jax.scaling.ladder import Link, SecondStep, second_step
from w2v_jax.scaling.records import Record

LEAST = len(Link._fields) + 2  # runs: with fewer, the noise about the curve is not known
AGREEMENT, SIMILARITY = "agreement", "similarity"  # begin the names of their tasks


def second_steps(runs: Sequence[Record], optimum: float | None = None) -> dict[str, SecondStep | Refusal]:
    """The curve of each task that runs with a loss have, or why there is none.

    Each rests on the runs that have its score: `SecondStep.runs` of them.

    Args:
      runs: of one arm.
      optimum: the best possible loss, where it is known.
    """
    ended = [run for run in runs if run.heldout_loss is not None]
    names = dict.fromkeys(name for run in ended for name in run.scores)  # each once, in the order of the runs
    return {name: _curve(name, [run for run in ended if name in run.scores], optimum) for name in names}


def _curve(name: str, runs: Sequence[Record], optimum: float | None) -> SecondStep | Refusal:
    points = [np.array([[run.heldout_loss], [run.scores[name]]], np.float64) for run in runs]
    shares = np.array([point[1, 0] for point in points])
    if len(points) < LEAST:
        return Refusal(name, f"{len(points)} run(s): at least {LEAST} are needed")
    if np.ptp(shares) == 0:
        return Refusal(name, f"all runs come to {shares[0]:.4g}")
    perfect = (optimum, 1.0) if optimum is not None and name.startswith(AGREEMENT) else None
    try:
        return second_step(points, perfect, certain=True, further=True, plain=perfect is None)
    except UserError as error:
        return Refusal(name, str(error))


def expected(steps: Mapping[str, SecondStep | Refusal], loss: Value) -> dict[str, Value]:
    """The accuracy of a forecast loss on each task that has a curve; intervals end where shares and correlations do."""
    found = {}
    for name, step in steps.items():
        if isinstance(step, SecondStep):
            least = -1.0 if name.startswith(SIMILARITY) else 0.0
            found[name] = Value(*np.clip(step.through(loss), least, 1.0).tolist())
    return found
