"""Four families on Wikipedia, their exponents beside those of large transformers."""

from __future__ import annotations

from experiments.figures.figure import Figure
from experiments.figures.studies import FAMILIES, PLATEAU, WIKI, WIKI_DATA, collect, draw_families, measure_families
from w2v_jax.figures.published import beside
from w2v_jax.papers import cited

_LARGER = "theirs larger by orders of magnitude, byte pairs"
_BEST = "theirs the best size at each D"

FIGURE = Figure(
    shows="held-out loss on Wikipedia by parameters and training FLOPs, four families",
    paper=cited("kaplan", "hoffmann", "besiroglu"),
    recipe=WIKI,
    data=WIKI_DATA,
    collect=collect(*FAMILIES, *PLATEAU),
    measure=measure_families,
    draw=draw_families,
    numbers=tuple(
        beside(paper, number, ours, what=f"{what}, {paper.title()}", differs=differs)
        for paper, number, what, ours, differs in (
            ("kaplan", "N alone", "N alone", "lstm: power of N", "theirs transformers, far larger"),
            ("kaplan", "D alone", "D alone", "transformer: power of D", _LARGER),
            ("kaplan", "C alone", "C alone", "transformer: power of C", _LARGER),
            ("hestness", "D alone", "D alone", "lstm: power of D", _BEST),
            ("hoffmann", "alpha", "N beside D", "transformer: alpha", _LARGER),
            ("hoffmann", "beta", "D beside N", "transformer: beta", _LARGER),
            ("besiroglu", "alpha", "N beside D", "transformer: alpha", _LARGER),
            ("besiroglu", "beta", "D beside N", "transformer: beta", _LARGER),
        )
    ),
)
