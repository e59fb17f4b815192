"""Word models on one text under one evaluation, and skip-gram's products against shifted PMI."""

from __future__ import annotations

import statistics

from experiments.figures.figure import Figure, Result, Step, file
from w2v_jax.figures import compare

_FLAGS = "--workdir={run}/compare --source=text:{wiki_en.00.txt} --data_dir={word_eval} --seeds=0,1,2"


def measure(result: Result) -> dict[str, float]:
    """The mean score of every model and test, and how far E C^T is PMI - log k."""
    found = {
        f"{name}, {test}": statistics.fmean(float(run["scores"][test]) for run in entry["runs"])
        for name, entry in result["models"].items()
        for test in entry["runs"][0]["scores"]
    }
    link = result["association"]
    return found | {f"E C^T over PMI - log k, {key}": float(link[key]) for key in ("slope", "weighted", "plain")}


FIGURE = Figure(
    shows="word models on one text under one evaluation; skip-gram's products against shifted PMI",
    paper="Levy, Goldberg and Dagan 2015 (Q15-1016), at small size; Levy and Goldberg 2014",
    recipe=(Step("experiments.compare", _FLAGS),),
    data="English Wikipedia, shard 00, 1.5M words",
    seed=(0, 1, 2),
    collect=file("compare/results.json", "command", "machine"),
    measure=measure,
    draw=lambda result, out, source: compare.draw(result["models"], result["association"], out, source),
)
