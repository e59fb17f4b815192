"""How often the ladder's intervals hold the truth, at the design of the OLMo ladder.

    python -m benchmarks.ladder_coverage [--trials=100] [--out=FILE.json]

Each trial plants a law of the task's loss and a sigmoid of accuracy, both near those of its tasks, at its 16 runs of
.19 to 1.3 B parameters on 1 to 10 times 20 tokens a parameter. Their last losses have lognormal noise, their 60
checkpoints' accuracies noise of one point. The forecast is of 13.2 B parameters on 5 T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.common import cli
from w2v_jax.files import write_json
from w2v_jax.scaling.ladder import Link, Run, climb
from w2v_jax.tables import aligned

SIZES = tuple((n, 20.0 * n * times) for n in (190e6, 371e6, 758e6, 1279e6) for times in (1, 2, 5, 10))
TARGET = 13.2e9, 5e12
LINK = Link(-0.75, 0.7, 5.0, 1.0)
NOISES = 0.003, 0.01  # standard deviations of log loss between runs
CHECKPOINTS, ACCURACY_NOISE = 60, 0.01
VALUES = ("loss", "accuracy", "known")


def loss(n: float, d: float) -> float:
    """The planted law, bits per byte."""
    return float(0.45 + 17.0 / n**0.22 + 140.0 / d**0.3)


def plant(noise: float, seed: int) -> list[Run]:
    """The runs of one trial: losses that fall to twice the last one's, less noise, and stay for five checkpoints."""
    rng, runs = np.random.default_rng(seed), []
    course = 1.0 + np.concatenate([np.geomspace(1.0, 0.01, CHECKPOINTS - 5), np.zeros(5)])
    for n, d in SIZES:
        each = loss(n, d) * np.exp(rng.normal(0.0, noise)) * course
        runs.append(Run(n, d, each, LINK(each) + rng.normal(0.0, ACCURACY_NOISE, CHECKPOINTS)))
    return runs


def coverage(noise: float, trials: int, resamples: int = 100) -> dict[str, Any]:
    """The share of trials in which each interval holds the truth, and the median width."""
    true = loss(*TARGET)
    truth = {"loss": true, "accuracy": float(LINK(true)), "known": float(LINK(true))}
    found = [climb(plant(noise, seed), *TARGET, true, seed=seed, resamples=resamples) for seed in range(trials)]
    row: dict[str, Any] = {"noise": noise, "trials": trials}
    for name in VALUES:
        own = [getattr(ladder, name) for ladder in found]
        row[name] = float(np.mean([value.covers(truth[name]) for value in own]))
        row[f"{name}, width"] = float(np.median([value.high - value.low for value in own]))
    return row


def show(rows: Sequence[dict[str, Any]]) -> str:
    """The table as text."""
    lines = [["noise", "trials", "loss", "width", "accuracy", "width", "by the measured loss", "width"]]
    for row in rows:
        cells = [text for name in VALUES for text in (f"{row[name]:.0%}", f"{row[f'{name}, width']:.3f}")]
        lines.append([f"{row['noise']:.1%}", str(row["trials"]), *cells])
    return aligned(lines)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    rows = [coverage(noise, f.trials) for noise in NOISES]
    print(show(rows))
    if f.out:
        write_json(f.out, {"command": cli.command("benchmarks.ladder_coverage"), "rows": rows})
    return 0


if __name__ == "__main__":
    flags.DEFINE_integer("trials", 100, "Planted ladders for each noise.", lower_bound=1)
    flags.DEFINE_string("out", None, "Result file.")
    cli.run(main)
