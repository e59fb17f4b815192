"""The transformers of the study on Wikipedia, with a rate for each size and with one rate that a scale rule carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures.figure import Figure, Result, Step
from experiments.figures.studies import FAMILIES, PLATEAU, WIKI, WIKI_DATA, arms
from w2v_jax.figures.two_studies import draw as draw_studies
from w2v_jax.scaling import analysis, records
from w2v_jax.scaling.fitted import Fit

FOLDERS = {"a rate for each size": "study", "one rate, carried by the rule": "transferred"}
ARM = "transformer"
_FLAGS = (
    "--config=configs/scaling/wiki_transferred.py --config.data.source=text:{wiki_en.*.txt} --workdir={run}/transferred"
)


def collect(run: Path) -> dict[str, Any]:
    """The transformers of both studies; the arm of each is its name here."""
    rows = []
    for name, folder in FOLDERS.items():
        found = analysis.usable(records.read(sorted((run / folder).glob("results*.jsonl"))))
        kept = [{key: getattr(r, key) for key in (*FAMILIES, *PLATEAU)} for r in found if r.arm == ARM]
        rows += [row | {"arm": name} for row in kept]
    return {"runs": rows}


def measure(result: Result) -> dict[str, float]:
    """Of each study: the powers of N, D and C with their intervals where they are fitted, and the losses of the two
    largest sizes on the most tokens."""
    found = dict[str, float]()
    for name, runs in arms(result, FAMILIES).items():
        laws = analysis.laws(name, runs)
        for of, fit in (("N", laws.by_size), ("D", laws.by_tokens), ("C", laws.frontier)):
            if isinstance(fit, Fit):
                ends = zip(("", ", low", ", high"), fit.values["alpha"], strict=True)
                found |= {f"{name}: power of {of}{end}": value for end, value in ends}
        n, d, _, loss = analysis.columns(runs)
        last = sorted((n[i], loss[i]) for i in range(len(n)) if d[i] > 0.97 * d.max())
        found |= {f"{name}: {size:,.0f} parameters": value for size, value in last[-2:]}
    return found


def draw(result: Result, out: str, source: str) -> None:
    """Loss by size, a line for each study and amount of text."""
    studies = {}
    for name, runs in arms(result, FAMILIES).items():
        n, d, _, loss = analysis.columns(runs)
        amounts = np.round(d / 1e4) * 1e4
        order = np.argsort(n)
        studies[name] = {
            tokens: (n[order][amounts[order] == tokens], loss[order][amounts[order] == tokens])
            for tokens in np.unique(amounts).tolist()
        }
    draw_studies(studies, out, source=source)


FIGURE = Figure(
    shows="loss of transformers on Wikipedia by size: a rate for each size, and one that a scale rule carries",
    paper="Yang et al. 2022, arXiv 2203.03466",
    recipe=(*WIKI, Step("experiments.scaling", _FLAGS, "--config.", (0, 1))),
    data=WIKI_DATA,
    collect=collect,
    measure=measure,
    draw=draw,
)
