"""CBOW beside skip-gram by kind of analogy, and king - man + woman with and without the words of the question."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, Step, evaluate, read_object, train
from w2v_jax.embeddings import load
from w2v_jax.figures import analogies
from w2v_jax.figures.published import beside
from w2v_jax.papers import NUMBERS, PAPERS

SEEDS = (0, 1)
MODELS = {"CBOW": "cbow", "skip-gram": "skipgram"}
_TEXT = ("data.source=text:{run}/wiki.txt", "data.tokens=letters", "data.heldout_every=0", "log.tensorboard=False")
THEIRS = {
    name: {kind: NUMBERS["mikolov_a", f"{name}, {kind}, 300 dimensions, 783 M words"].value for kind in analogies.KINDS}
    for name in MODELS
}


def shares(test: Mapping[str, Any], rule: str) -> dict[str, float]:
    """Per cent of the questions asked that a rule ('add', 'add_included') answers, by kind of `analogies.KINDS`."""
    groups = {**test["groups"], "total": test["all"]}
    return {kind: 100.0 * float(groups[kind][f"accuracy_{rule}"]) for kind in analogies.KINDS}


def collect(run: Path) -> dict[str, Any]:
    """Shares of every seed, and the answers of the first skip-gram."""
    models: dict[str, list[Any]] = {}
    for name, config in MODELS.items():
        models[name] = []
        for seed in SEEDS:
            test = read_object(run / f"{config}_{seed}" / "evaluation.json")["analogy"]["questions-words"]
            models[name].append({"excluded": shares(test, "add"), "included": shares(test, "add_included")})
    emb = load(run / f"skipgram_{SEEDS[0]}" / "vectors.bin")
    queen = {
        allowed: [[word, round(score, 4)] for word, score in emb.analogy("man", "king", "woman", 5, exclude=exclude)]
        for allowed, exclude in (("excluded", True), ("included", False))
    }
    return {"models": models, "queen": queen, "vocabulary": len(emb)}


def measure(result: Result) -> dict[str, float]:
    """Means over seeds, in per cent; the rank of queen among all words."""
    found = {
        f"{name}, {kind}{'' if allowed == 'excluded' else ', words of the question allowed'}": statistics.fmean(
            run[allowed][kind] for run in runs
        )
        for name, runs in result["models"].items()
        for kind in analogies.KINDS
        for allowed in ("excluded", "included")
    }
    words = [word for word, _ in result["queen"]["included"]]
    return found | {"rank of queen, all words allowed": float(words.index("queen") + 1 if "queen" in words else 6)}


def draw(result: Result, out: str, source: str) -> None:
    """Draws 'models' beside the published shares, and the answers 'queen' among 'vocabulary' words."""
    analogies.draw_kinds(result["models"], THEIRS, result["queen"], int(result["vocabulary"]), out, source)


_DIFFERS = "theirs on 783 M words of news, d = 300"
FIGURE = Figure(
    shows="analogies by kind: CBOW beside skip-gram; king - man + woman with all words allowed",
    paper=PAPERS["mikolov_a"].source,
    recipe=(
        Step("benchmarks.text", "--shards={wiki_en.0[0-7].txt} --out={run}/wiki.txt"),
        *(
            step
            for seed in SEEDS
            for config in MODELS.values()
            for step in (
                train(f"configs/{config}.py", f"{config}_{seed}", *_TEXT, f"train.seed={seed}"),
                evaluate(f"{config}_{seed}", "--data_dir={word_eval}"),
            )
        ),
    ),
    data="English Wikipedia, 8 shards, 12,534,181 words; d = 100, 5 passes",
    seed=SEEDS,
    collect=collect,
    measure=measure,
    draw=draw,
    numbers=tuple(
        beside(
            "mikolov_a", f"{name}, {kind}, 300 dimensions, 783 M words", f"{name}, {kind}", differs=_DIFFERS
        )
        for name in MODELS
        for kind in analogies.KINDS
    ),
)  # fmt: skip
