"""Distance of an LSTM and an elementwise RNN from the best possible loss of the synthetic language."""

from __future__ import annotations

from experiments.figures.figure import Figure, evaluate, train
from w2v_jax.figures import optimum
from w2v_jax.figures.published import beside

_CELLS = ("lstm", "elementwise")  # folders of the recipe too
_BEST = "best possible loss"

FIGURE = Figure(
    shows="nats above the best possible loss, by distance of agreement",
    paper="none: the optimum is computed exactly",
    recipe=(
        *(train("configs/synthetic_optimum.py", cell, f"model.cell={cell}") for cell in _CELLS),
        *map(evaluate, _CELLS),
    ),
    data="synthetic language, 4 million words, 4 passes; 100,016 test words",
    collect=lambda run: {"runs": optimum.read_runs([run / cell for cell in _CELLS])},
    measure=lambda result: {f"{name}: loss": float(kinds["all"]["model"]) for name, kinds in result["runs"].items()},
    draw=lambda result, out, source: optimum.draw(result["runs"], out, source),
    numbers=tuple(
        beside("optimum", _BEST, f"{cell}, 1 x 128: loss", what=f"{_BEST}, {cell}, 1 x 128") for cell in _CELLS
    ),
)
