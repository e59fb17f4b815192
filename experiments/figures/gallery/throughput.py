"""Tokens per second by length of the text: all tokens at once against one after another."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file
from w2v_jax.figures import throughput
from w2v_jax.figures.published import Tolerance, beside

_CLAIM = "all at once, beside one after another"
_ABOUT = Tolerance("what experiments.throughput counts as about 100", *throughput.ABOUT)
_RATIOS = {
    "prompt_by_itself": "prompt, beside itself one by one",
    "prompt_by_lstm": "prompt, beside an LSTM",
    "training_by_lstm": "training, beside an LSTM",
}


def draw(result: Result, out: str, source: str) -> None:
    """Draws 'training' and 'prompt' of throughput.json."""
    options = result["options"]
    panels = throughput.panels(result, int(options["tokens"]), int(options["batch"]))
    throughput.draw([int(n) for n in options["lengths"]], panels, out, source)


FIGURE = Figure(
    shows="tokens/s by length: all at once against one after another",
    paper="none: a claim of the notes",
    recipe=(Step("experiments.throughput", "--out={run}/throughput", "--"),),
    data="random tokens",
    collect=file("throughput/throughput.json", "command"),
    measure=lambda result: {name: float(entry["largest"]) for name, entry in result["verdicts"].items()},
    draw=draw,
    numbers=tuple(beside("notes", _CLAIM, ours, _ABOUT, what=what) for ours, what in _RATIOS.items()),
)
