"""Topics of LSA and LDA on 20 Newsgroups, matched one to one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Step, read_object
from w2v_jax.figures import topics

_FLAGS = (
    "--config=configs/topics_newsgroups.py --workdir={run}/topics --reference "
    "--config.data.source=jsonl:{newsgroups20/train.jsonl} "
    "--config.data.heldout_source=jsonl:{newsgroups20/test.jsonl}"
)
_LEFT_OUT = ("command", "corpus", "topics")


def collect(run: Path) -> dict[str, Any]:
    """The results without what is not drawn or quoted."""
    result = read_object(run / "topics/results.json", *_LEFT_OUT)
    for pair in result["pairs"]:
        pair |= {key: pair[key][: topics.WORDS] for key in ("first", "second")}
    for model in result["models"]:
        for key in ("topic_npmi", "topic_umass"):
            del model[key]
    return result


def measure(result: Any) -> dict[str, float]:
    """Mean scores of the matched topics, and by chance."""
    found: dict[str, float] = {}
    for models, key in (("LSA and LDA", "agreement"), ("two LDA", "reference")):
        for name, scores in result[key].items():
            found[f"{models}, {name}"] = scores["mean"]
            found[f"{models}, {name}, by chance"] = scores["chance"]
    return found


def draw(result: Any, out: str, source: str) -> Any:
    """The matched topics side by side."""
    chance = {name: scores["chance"] for name, scores in result["agreement"].items()}
    return topics.draw(result["pairs"], [model["model"] for model in result["models"]], chance, out, source)


FIGURE = Figure(
    shows="topics that LSA and LDA find in one text, matched",
    paper="none: the notes claim that both find the same topics",
    recipe=(Step("experiments.topics", _FLAGS, "--config."),),
    data="20 Newsgroups by date, 11,314 posts, 20 topics",
    collect=collect,
    measure=measure,
    draw=draw,
)
