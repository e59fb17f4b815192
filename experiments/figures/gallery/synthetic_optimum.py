"""How near an LSTM and an elementwise RNN come to the best possible loss of the synthetic language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, evaluate, train
from w2v_jax.figures import optimum
from w2v_jax.figures.published import Published
from w2v_jax.files import PathLike
from w2v_jax.papers import COMPUTED

_CELLS = ("lstm", "elementwise")  # folders of the recipe too


def collect(run: Path) -> dict[str, Any]:
    """Distances to the optimum by kind of word, of both runs by their label."""
    return {"runs": {label: dict(kinds) for label, kinds in optimum.read_runs([run / c for c in _CELLS]).items()}}


def measure(result: Result) -> dict[str, float]:
    """Loss on the test text, nats a word."""
    return {f"{label}: loss": float(kinds["all"]["model"]) for label, kinds in result["runs"].items()}


def draw(result: Result, out: PathLike, source: str) -> None:
    """'runs' by label: of each kind of word 'gap' and 'standard_error'."""
    optimum.draw(result["runs"], out, source)


FIGURE = Figure(
    shows="nats above the best possible loss, by distance of agreement",
    paper="none: the optimum is computed exactly",
    recipe=(
        *(train("configs/synthetic_optimum.py", cell, f"model.cell={cell}") for cell in _CELLS),
        *(evaluate(cell) for cell in _CELLS),
    ),
    data="synthetic language, 4 million words, 4 passes; 100,016 test words",
    collect=collect,
    measure=measure,
    draw=draw,
    numbers=tuple(
        Published(
            f"best possible loss, {cell}, 1 x 128",
            3.9224,
            "nats a word",
            "forward algorithm",
            COMPUTED,
            f"{cell}, 1 x 128: loss",
        )
        for cell in _CELLS
    ),
)
