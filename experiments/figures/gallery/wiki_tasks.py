"""Tasks of language models on Wikipedia, forecast before the larger models were trained, beside what came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Step, study
from experiments.figures.gallery.task_ladder import by_study, draw, measure
from w2v_jax.papers import cited

STUDIES = {
    "first forecast, four free numbers": ("wiki_tasks.json", ("small", "large")),
    "second forecast, two numbers unless four are better": ("wiki_tasks_second.json", ("small", "large")),
    "along the frontier": ("frontier_tasks.json", ("frontier_small", "frontier_large")),
}
_TEXT = "--keep --config.data.source=text:{wiki_en.*.txt}"
_LARGE = """'--config.arms.transformer.sizes=("model.dim=64 model.heads=8 tokens=7.5e6",)' '--config.seeds=(1,)'"""
_136 = "model.dim=136 model.heads=4 tokens=16000000 optimizer.learning_rate=0.0029"  # as the config has it
_FURTHER = f"""'--config.arms.transformer.sizes=("{_136}",)' '--config.seeds=(1,2)'"""
_SST2 = "sst2 source=tsv:{sst/train.tsv} test_source=tsv:{sst/test.tsv} labels=sst2 max_tokens=127"
_IMDB = "imdb source=tsv:{imdb/train.tsv} test_source=tsv:{imdb/test.tsv} max_tokens=127 texts=8000"


def collect(run: Path) -> dict[str, Any]:
    """See `by_study`."""
    return by_study(STUDIES, run)


def _score(folder: str) -> Step:
    tasks = " ".join(f"'--score={task}'" for task in ("wic folder={wic}", _SST2, _IMDB))
    return Step("experiments.scaling", f"--workdir={{run}}/{folder} {tasks}")


FIGURE = Figure(
    shows="next word, SST-2, IMDB and Words in Context forecast for 10 times the FLOPs, and what came",
    paper=cited("olmo"),
    recipe=(
        study("configs/scaling/forecast_wiki.py", _TEXT, "small"),
        _score("small"),
        study("configs/scaling/forecast_wiki_large.py", f"{_TEXT} {_LARGE}", "large"),
        _score("large"),
        study("configs/scaling/forecast_frontier_wiki.py", _TEXT, "frontier_small"),
        _score("frontier_small"),
        study("configs/scaling/forecast_frontier_wiki_large.py", f"{_TEXT} {_FURTHER}", "frontier_large"),
        _score("frontier_large"),
    ),
    data="English Wikipedia (spring 2015), at most 8 of 25.4 million words; SST-2, 8,000 texts of IMDB, WiC",
    seed=(0, 1, 2),
    collect=collect,
    measure=measure,
    draw=draw,
)
