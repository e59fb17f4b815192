"""Four families on Wikipedia, their exponents beside those of large transformers."""

from __future__ import annotations

from experiments.figures.figure import Figure
from experiments.figures.studies import FAMILIES, WIKI, WIKI_DATA, collect, draw_families, measure_families
from w2v_jax.figures.published import beside
from w2v_jax.papers import BESIROGLU, HESTNESS, HOFFMANN, KAPLAN

_LARGER = "theirs larger by orders of magnitude, byte pairs"
_BEST = "theirs the best size at each D"

FIGURE = Figure(
    shows="held-out loss on Wikipedia by parameters and training FLOPs, four families",
    paper=", ".join(paper.cited for paper in (KAPLAN, HOFFMANN, BESIROGLU)),
    recipe=WIKI,
    data=WIKI_DATA,
    collect=collect(*FAMILIES),
    measure=measure_families,
    draw=draw_families,
    numbers=tuple(
        beside(paper, name, ours, what=f"{what}, {paper.name.split()[0]}", differs=differs)
        for paper, name, what, ours, differs in (
            (KAPLAN, "N alone", "N alone", "lstm: power of N", "theirs transformers, far larger"),
            (KAPLAN, "D alone", "D alone", "transformer: power of D", _LARGER),
            (KAPLAN, "C alone", "C alone", "transformer: power of C", _LARGER),
            (HESTNESS, "D alone", "D alone", "lstm: power of D", _BEST),
            (HOFFMANN, "alpha", "N beside D", "transformer: alpha", _LARGER),
            (HOFFMANN, "beta", "D beside N", "transformer: beta", _LARGER),
            (BESIROGLU, "alpha", "N beside D", "transformer: alpha", _LARGER),
            (BESIROGLU, "beta", "D beside N", "transformer: beta", _LARGER),
        )
    ),
)
