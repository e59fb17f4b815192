"""What the ways of counting parameters and FLOPs do to the exponent of the best size."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file
from experiments.scaling import published
from w2v_jax.figures import published_fits
from w2v_jax.figures.published import beside
from w2v_jax.papers import PAPERS, cited

# Study and number, as `experiments.scaling --published` names them, and what is counted there.
WAYS = {
    ("nanochat", "transformer alone, a"): "N without embeddings and head, all FLOPs",
    ("nanochat", "all but embeddings, a"): "N with the head, all FLOPs",
    ("nanochat", "all parameters, a"): "N with embeddings and head, all FLOPs",
    ("porian", "RefinedWeb, Kaplan's way"): "N and 6 N D without embeddings and head",
    ("porian", "RefinedWeb, last layer counted"): "FLOPs of the head counted",
    ("porian", "RefinedWeb, short warm-up"): "the same, warm-up as long as suits each size",
    ("porian", "RefinedWeb, cosine decay"): "the same, decay to the end of each run",
    ("porian", "RefinedWeb, tuned, no decay"): "the same, batch, rate and beta2 tuned by size",
}


def _rows(result: Result) -> list[tuple[str, published.Row]]:
    """A label and a row for each way, in the order of WAYS. KeyError: one is missing."""
    rows = {(row.paper, row.number): row for row in published.of_json(result)}
    return [(f"{PAPERS[key[0]].name}: {what}", rows[key]) for key, what in WAYS.items()]


def measure(result: Result) -> dict[str, float]:
    """The exponent of N in the best size for C FLOPs, by way of counting, and how far apart they are."""
    found = {f"{row.paper}, {row.number}": row.ours.value for _, row in _rows(result)}
    for paper in dict.fromkeys(row.paper for _, row in _rows(result)):
        own = [row.ours.value for _, row in _rows(result) if row.paper == paper]
        found[f"{paper}: from least to greatest"] = max(own) - min(own)
    return found


def draw(result: Result, out: str, source: str) -> None:
    """A line for each way."""
    pairs = [published_fits.Pair(label, row.ours, row.published) for label, row in _rows(result)]
    published_fits.draw(pairs, out, source=source)


FIGURE = Figure(
    shows="the exponent of the best size by what is counted as parameters and FLOPs, two published studies",
    paper=cited("porian", "nanochat"),
    recipe=(Step("experiments.scaling", "--published={scaling} --out={run}/fits"),),
    data="optima of IsoFLOP profiles that the authors published: one log counted in three ways, and five settings",
    collect=file("fits/published.json", "surfaces"),
    measure=measure,
    draw=draw,
    numbers=tuple(
        beside(paper, number, f"{paper}, {number}", what=number, differs="see the intervals") for paper, number in WAYS
    ),
)
