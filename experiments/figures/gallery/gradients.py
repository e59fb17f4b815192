"""How far back recurrent cells reach: gradients by distance, agreement and forget gates."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file
from w2v_jax.figures import distance
from w2v_jax.figures.published import beside
from w2v_jax.files import PathLike
from w2v_jax.papers import NOTES, PASCANU

_GATE = "forget gate, half left after 13 steps"
_BACK = (5, 10, 13)  # steps back


def measure(result: Result) -> dict[str, float]:
    """Gradients of the untrained RNN, relative to distance 0, and the median forget gate of the LSTM."""
    untrained = distance.reaches(result["cells"])["rnn"].untrained["h"]
    measured = {f"rnn {k}": float(untrained[k]) for k in _BACK}
    return measured | {"lstm gate": float(result["cells"]["lstm"]["forget_gates"]["quantiles"]["0.5"])}


def draw(result: Result, out: PathLike, source: str) -> None:
    """All cells: 'cells', 'ceiling' and 'chance' of gradients.json."""
    ceiling = {int(d): float(share) for d, share in result["ceiling"].items()}
    cells = distance.reaches(result["cells"])
    distance.draw(cells, NOTES.value(_GATE), ceiling, float(result["chance"]), out, source)


FIGURE = Figure(
    shows="gradients by distance before and after training, agreement, forget gates",
    paper=PASCANU.cited,
    recipe=(Step("experiments.gradients", ("--workdir={run}/gradients",), "--"),),
    data="synthetic language, 1 million words; 512 windows of held-out text",
    collect=file("gradients/gradients.json", "command"),
    measure=measure,
    draw=draw,
    numbers=(
        *(
            beside(NOTES, f"0.8^{k}", f"rnn {k}", what=f"0.8^{k}, beside an untrained RNN", differs="an illustration")
            for k in _BACK
        ),
        beside(NOTES, _GATE, "lstm gate"),
    ),
)
