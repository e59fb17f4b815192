"""Similarity and analogy tests of word vectors, forecast before the larger vectors were trained, beside what came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, study
from experiments.figures.gallery.task_ladder import by_study, measure
from w2v_jax.figures.task_ladder import draw as draw_ladder
from w2v_jax.papers import cited

STUDIES = {"word vectors": ("vectors.json", ("small", "large"))}
LARGEST = ("simverb3500", "men", "simlex999", "ws353", "questions-words", "msr")  # the tests with the most questions
_TEXT = "--config.data.source=text:{wiki_en.*.txt} --data_dir={word_eval}"


def collect(run: Path) -> dict[str, Any]:
    """See `by_study`; the six tests of `LARGEST`."""
    found = by_study(STUDIES, run)
    for part in found["studies"].values():
        part["curves"] = _largest(part["curves"])
        for row in (*part["runs"], *part["came"], *part["targets"]):
            row["tasks"] = _largest(row["tasks"])
    return found


def _largest(tasks: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tasks.items() if name.split()[-1] in LARGEST}


def draw(result: Result, out: str, source: str) -> None:
    """Two panels; similarity is a correlation."""
    draw_ladder(result["studies"], out, source=source, unit="100 times the correlation or the share")


FIGURE = Figure(
    shows="similarity and analogies of word vectors forecast for 10 and 24 times the FLOPs, and what came",
    paper=cited("olmo"),
    recipe=tuple(
        study(f"configs/scaling/{config}.py", _TEXT, part)
        for config, part in (("word2vec_ladder", "small"), ("word2vec_ladder_large", "large"))
    ),
    data="English Wikipedia (spring 2015), at most 24 of 25.4 million words, read once",
    seed=(0, 1, 2, 3, 4),
    collect=collect,
    measure=measure,
    draw=draw,
)
