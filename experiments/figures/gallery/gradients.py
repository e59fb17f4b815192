"""How far back recurrent cells reach: gradients by distance, agreement and forget gates."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file
from w2v_jax.figures import distance
from w2v_jax.figures.published import Published, beside
from w2v_jax.papers import cited, value

_GATE = "forget gate, half left after 13 steps"
_BACK = (5, 10, 13)  # steps back


def measure(result: Result) -> dict[str, float]:
    """Gradients of the untrained RNN, relative to distance 0, and the median forget gate of the LSTM."""
    untrained = distance.reaches(result["cells"])["rnn"].untrained["h"]
    measured = {f"rnn {k}": float(untrained[k]) for k in _BACK}
    return measured | {"lstm gate": float(result["cells"]["lstm"]["forget_gates"]["quantiles"]["0.5"])}


def draw(result: Result, out: str, source: str) -> None:
    """Draws 'cells', 'ceiling' and 'chance' of gradients.json."""
    ceiling = {int(d): float(share) for d, share in result["ceiling"].items()}
    cells = distance.reaches(result["cells"])
    distance.draw(cells, value("notes", _GATE), ceiling, float(result["chance"]), out, source)


def _power(k: int) -> Published:
    return beside("notes", f"0.8^{k}", f"rnn {k}", what=f"0.8^{k}, beside an untrained RNN", differs="an illustration")


FIGURE = Figure(
    shows="gradients by distance before and after training, agreement, forget gates",
    paper=cited("pascanu"),
    recipe=(Step("experiments.gradients", "--workdir={run}/gradients", "--"),),
    data="synthetic language, 1 million words; 512 windows of held-out text",
    collect=file("gradients/gradients.json", "command"),
    measure=measure,
    draw=draw,
    numbers=(*map(_power, _BACK), beside("notes", _GATE, "lstm gate")),
)
