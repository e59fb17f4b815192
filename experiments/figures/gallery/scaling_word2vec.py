"""Quality of word vectors by dimensions and training words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, study
from experiments.figures.studies import KEYS, read, record
from w2v_jax.figures.published import beside
from w2v_jax.figures.scaling_study import draw_heat
from w2v_jax.papers import PAPERS
from w2v_jax.scaling import analysis

TESTS = {"analogies, %": "analogies questions-words", "MEN, Spearman, %": "similarity men"}
_KEPT = (*KEYS, "words_per_second", "quality")
_FLAGS = "--config.data.source=text:{wiki_en.*.txt} --data_dir={word_eval}"
_THEIRS = "theirs CBOW on news, 30,000 words"


def collect(run: Path) -> dict[str, Any]:
    """Dimensions, cost and drawn scores of each run."""
    runs = []
    for r in read(run):
        scores = {test: round(float((r.quality or {})[test]), 5) for test in TESTS.values()}
        kept = {key: getattr(r, key) for key in _KEPT}
        runs.append(kept | {"dim": r.config["model"]["dim"], "quality": scores})
    return {"runs": runs}


def _found(result: Result) -> analysis.Quality:
    return analysis.vector_quality([record(row, _KEPT, model={"dim": int(row["dim"])}) for row in result["runs"]])


def measure(result: Result) -> dict[str, float]:
    """Scores at the most words, words/s and size by dimensions."""
    found, measured = _found(result), dict[str, float]()
    for i, dim in enumerate(found.dims):
        cell = found.cells[dim, found.words[-1]]
        for title, name in TESTS.items():
            measured[f"{title}, {dim} dimensions"] = float(100.0 * found.scores[name][i, -1])
        measured[f"words/s, {dim} dimensions"] = sum(r.words_per_second or 0.0 for r in cell) / len(cell)
        measured[f"MiB of vectors, {dim} dimensions"] = cell[0].parameters * 4 / 2**20
    return measured


def draw(result: Result, out: str, source: str) -> None:
    """One heat map per test."""
    found = _found(result)
    grids = {title: 100.0 * found.scores[name] for title, name in TESTS.items()}
    draw_heat(found.dims, found.words, grids, out, source=source)


FIGURE = Figure(
    shows="analogies and similarity of skip-gram vectors by dimensions and words of Wikipedia",
    paper=PAPERS["mikolov_a"].source,
    recipe=(study("configs/scaling/word2vec.py", _FLAGS),),
    data="English Wikipedia (spring 2015), 25 million words, read once",
    collect=collect,
    measure=measure,
    draw=draw,
    numbers=tuple(
        beside("mikolov_a", f"analogies, {d} dimensions, 24 M words", f"analogies, %, {d} dimensions", differs=_THEIRS)
        for d in (50, 100)
    ),
)
