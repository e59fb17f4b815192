"""Words on a plane: groups of meaning, and the parallel offsets from countries to their capitals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures.figure import LARGE_VECTORS, Figure, Result, Step, evaluate, read_object, rounded, train
from w2v_jax.embeddings import load
from w2v_jax.figures import maps
from w2v_jax.figures.published import beside
from w2v_jax.papers import PAPERS

GROUPS = {
    "professions": ["doctor", "nurse", "surgeon", "teacher", "student", "lawyer", "scientist"],
    "animals": ["dog", "cat", "horse", "rat", "mole", "cow", "wolf"],
    "vehicles": ["car", "truck", "train", "ship", "aircraft", "bicycle"],
    "countries": ["france", "germany", "italy", "spain", "russia", "japan"],
    "capitals": ["paris", "berlin", "rome", "madrid", "moscow", "tokyo"],
}
_TEXT = ("data.source=text:{run}/wiki.txt", "data.heldout_every=0")


def collect(run: Path) -> dict[str, Any]:
    """The drawn vectors, and the accuracy of all vectors on analogies."""
    emb = load(run / "vectors" / "vectors.bin")
    scores = read_object(run / "vectors" / "evaluation.json")
    words = [word for members in GROUPS.values() for word in members]
    return {
        "vocabulary": len(emb),
        "analogies": scores["analogy"]["questions-words"]["all"]["accuracy_add"],
        "groups": GROUPS,
        "pairs": [list(pair) for pair in zip(GROUPS["countries"], GROUPS["capitals"], strict=True)],
        "vectors": {word: rounded(np.asarray(emb.vectors[emb.row(word)])) for word in words},
    }


def measure(result: Result) -> dict[str, float]:
    """Analogies in per cent, and the mean cosine between the offsets from country to capital of different pairs."""
    ends = [[result["vectors"][word] for word in pair] for pair in result["pairs"]]
    pairs = np.array(ends, np.float64)  # [pairs, 2, D]
    country, capital = maps.unit(pairs[:, 0]), maps.unit(pairs[:, 1])
    offsets, count = maps.unit(capital - country), len(pairs)
    parallel = ((offsets @ offsets.T).sum() - count) / (count * (count - 1))
    analogies = 100.0 * float(result["analogies"])
    return {"analogies": analogies, "mean cosine between capital - country offsets": float(parallel)}


def draw(result: Result, out: str, source: str) -> None:
    """Draws 'vectors' by word with 'groups', and 'vocabulary' in the title."""
    words = [word for members in result["groups"].values() for word in members]
    vectors = np.array([result["vectors"][word] for word in words], np.float64)
    maps.draw_map(words, vectors, out, result["groups"], vocabulary=int(result["vocabulary"]), source=source)


FIGURE = Figure(
    shows="words on a plane: groups of meaning, countries and capitals (skip-gram, 12.5 M words)",
    paper=PAPERS["mikolov_b"].source,
    recipe=(
        Step("benchmarks.text", "--shards={wiki_en.0[0-7].txt} --out={run}/wiki.txt"),
        train("configs/skipgram.py", "vectors", *_TEXT, *LARGE_VECTORS, "train.seed=3"),
        evaluate("vectors", "--data_dir={word_eval}"),
    ),
    data="English Wikipedia, 8 shards, 12,534,181 words; skip-gram, d = 300, 5 passes",
    seed=3,
    collect=collect,
    measure=measure,
    draw=draw,
    numbers=(
        beside("gensim", "analogies, skip-gram", "analogies", differs="theirs on text8, d = 100"),
        beside("mikolov_a", "analogies, 300 dimensions, 24 M words", "analogies", differs="theirs CBOW on news"),
    ),
)
