"""The exponents of seven published studies, fitted again from their tables."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file
from experiments.scaling import published
from w2v_jax.figures.published import Published, beside
from w2v_jax.papers import cited


def measure(result: Result) -> dict[str, float]:
    """Ours by study and number, and how many published numbers are inside."""
    rows = published.of_json(result)
    found = {f"{row.paper}, {row.number}": row.ours.value for row in rows}
    return found | {"numbers inside": float(sum(row.held for row in rows)), "numbers": float(len(rows))}


def _beside(paper: str, number: str) -> Published:
    return beside(paper, number, f"{paper}, {number}", what=f"{paper}, {number}", differs="see the intervals")


FIGURE = Figure(
    shows="the exponents of seven published studies, fitted again from their runs",
    paper=cited("besiroglu", "misfitting", "gemstones", "vpnls", "porian", "steplaw"),
    recipe=(Step("experiments.scaling", "--published={scaling} --out={run}/fits"),),
    data="tables of runs and of optima that the authors published: 245, 261, 770, 124 and 1,911 runs, and optima of "
    "nine settings",
    collect=file("fits/published.json", "surfaces"),
    measure=measure,
    draw=lambda result, out, source: published.draw(published.of_json(result), out, source),
    numbers=tuple(
        _beside(paper, number)
        for paper, number in (
            ("besiroglu", "alpha"),
            ("misfitting", "alpha"),
            ("gemstones", "constant, alpha"),
            ("vpnls", "Hoffmann, alpha"),
            ("porian", "RefinedWeb, Kaplan's way"),
            ("nanochat", "all parameters, a"),
            ("steplaw", "rate by N"),
            ("steplaw", "rate by D"),
        )
    ),
)
