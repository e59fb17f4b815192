"""How far a few steps move the states of models of several sizes, under a scale rule and without."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file
from w2v_jax.figures.scaling_study import coordinates, draw_coordinates


def measure(result: Result) -> dict[str, float]:
    """By arm: the change of the last state and of the logits at the largest size over that at the smallest."""
    found = dict[str, float]()
    for arm, curve in coordinates(result["runs"]).items():
        for name, moves in curve.lines.items():
            found[f"{arm}: {name}, largest over smallest"] = moves[-1] / moves[0]
    return found


FIGURE = Figure(
    shows="how far four steps of AdamW move states and logits by size, under a scale rule and without",
    paper="Yang et al. 2022, arXiv 2203.03466; Dey et al. 2025, arXiv 2505.01618",
    recipe=(Step("experiments.scaling", "--coordinates --config=configs/scaling/transfer.py --out={run}/check"),),
    data="one batch of 8 rows of 64 random words out of 64",
    collect=file("check/coordinates.json", "command"),
    measure=measure,
    draw=lambda result, out, source: draw_coordinates(coordinates(result["runs"]), out, source=source),
)
