"""Quality of word vectors by dimensions and training words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, study
from experiments.figures.studies import KEYS, read, record
from w2v_jax.figures import scaling_study
from w2v_jax.figures.published import beside
from w2v_jax.files import PathLike
from w2v_jax.papers import MIKOLOV_A
from w2v_jax.scaling import analysis

TESTS = {"analogies, %": "analogies questions-words", "MEN, Spearman, %": "similarity men"}
_KEPT = (*KEYS, "words_per_second", "quality")


def collect(run: Path) -> dict[str, Any]:
    """Of each run its dimensions, its cost and its scores in the tests that are drawn."""
    runs = []
    for row in map(dataclasses.asdict, read(run)):
        scores = {test: round(float(row["quality"][test]), 5) for test in TESTS.values()}
        kept = {key: row[key] for key in _KEPT}
        runs.append(kept | {"dim": row["config"]["model"]["dim"], "quality": scores})
    return {"runs": runs}


def _found(result: Result) -> analysis.Quality:
    """'dim' is beside the keys of a record."""
    return analysis.vector_quality(
        [record(row, _KEPT, model={"dim": int(row["dim"])}) for row in result["runs"]],
    )


def measure(result: Result) -> dict[str, float]:
    """Scores at the most words, words/s and size by dimensions."""
    found = _found(result)
    measured: dict[str, float] = {}
    for i, dim in enumerate(found.dims):
        cell = found.cells[dim, found.words[-1]]
        scores = {title: float(100.0 * found.scores[name][i, -1]) for title, name in TESTS.items()}
        measured |= {f"{title}, {dim} dimensions": score for title, score in scores.items()}
        measured[f"words/s, {dim} dimensions"] = sum(r.words_per_second or 0.0 for r in cell) / len(cell)
        measured[f"MiB of vectors, {dim} dimensions"] = cell[0].parameters * 4 / 2**20
    return measured


def draw(result: Result, out: PathLike, source: str) -> None:
    """A heat map a test."""
    found = _found(result)
    grids = {title: 100.0 * found.scores[name] for title, name in TESTS.items()}
    scaling_study.draw_heat(found.dims, found.words, grids, out, source=source)


FIGURE = Figure(
    shows="analogies and similarity of skip-gram vectors by dimensions and words of Wikipedia",
    paper=MIKOLOV_A.source,
    recipe=(
        study("configs/scaling/word2vec.py", "--config.data.source=text:{wiki_en.*.txt}", "--data_dir={word_eval}"),
    ),
    data="English Wikipedia (spring 2015), 25 million words, read once",
    collect=collect,
    measure=measure,
    draw=draw,
    numbers=tuple(
        beside(
            MIKOLOV_A,
            f"analogies, {dim} dimensions, 24 M words",
            f"analogies, %, {dim} dimensions",
            differs="theirs CBOW on news, 30,000 words",
        )
        for dim in (50, 100)
    ),
)
