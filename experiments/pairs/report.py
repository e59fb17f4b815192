"""The results of `experiments.pairs` as text, and what each model says of each scored pair."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import predictions, shares
from experiments.pairs.scoring import Judged
from w2v_jax.data.pair_corpus import PairExamples
from w2v_jax.evaluation.classification import accuracy_error
from w2v_jax.tables import aligned


def scored_of(splits: Container[str]) -> str:
    """The split whose scores are the results: the test pairs, without any the held-out ones."""
    return "test" if "test" in splits else "heldout"


def kind_of(same: bool) -> str:
    """The label as a word."""
    return "SAME" if same else "DIFFERENT"


def majority(train: PairExamples, scored: PairExamples) -> dict[str, Any]:
    """What the answer that more of the training pairs have, SAME where both are level, gets of other pairs."""
    answer = bool(2 * train.same.sum() >= train.documents)
    accuracy = float((scored.same == answer).mean())
    error = accuracy_error(accuracy, scored.documents)
    return {"kind": kind_of(answer), "accuracy": accuracy, "accuracy_error": error}


def repeated(part: PairExamples, other: PairExamples) -> int:
    """How many pairs of a part another part has too, in either order, whatever their labels."""
    known = {frozenset(texts) for texts in other.texts}
    return sum(frozenset(texts) in known for texts in part.texts)


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    graded = "pearson" in results["models"][0]
    heading = ["model", "threshold", "accuracy", "area"]
    rows = [heading + (["Pearson", "Spearman", "squared error"] if graded else []) + ["seconds"]]
    often = results["majority"]
    count = results["models"][0]["pairs"]
    cells = [f"always {often['kind']}", "-", shares.told(often["accuracy"], count)]
    rows.append([*cells, *("-" for _ in rows[0][3:])])

    def shown(value: float | None, digits: int = 4) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    for found in results["models"]:
        accuracy = shares.told(found["accuracy"], found["pairs"])
        cells = [found["model"], f"{found['threshold']:.4f}", accuracy, shown(found["area"])]
        if graded:
            cells += [shown(found["pearson"]), shown(found["spearman"]), shown(found.get("error"))]
        rows.append([*cells, shown(found.get("seconds"), 0)])
    seeds = [r for r in results["models"] if "seed" in r]
    if len(seeds) > 1:
        cells = [f"mean of {len(seeds)} seeds", "", f"{np.mean([r['accuracy'] for r in seeds]):.2%}"]
        keys = ["area"] + (["pearson", "spearman"] if graded else []) + (["error"] if "error" in seeds[0] else [])
        means = [
            shown(float(np.mean([r[k] for r in seeds]))) if None not in [r[k] for r in seeds] else "-" for k in keys
        ]
        rows.append([*cells, *means])
    split = scored_of(results["cut"])
    twice = [f"{results['also_in_training'][split]:,} of the pairs stand in training too"]
    if split == "test":
        twice.append(f"{results['also_in_heldout']:,} among the held-out pairs")
        twice.append(f"{results['also_in_training']['heldout']:,} of the held-out pairs stand in training too")
    error = shares.about(found["accuracy"] for found in (often, *results["models"]))
    cuts = [
        f"{name} {part['cut_examples'] / part['examples']:.1%} of the pairs and {part['cut_share']:.1%} of the words"
        for name, part in results["cut"].items()
    ]
    return (
        f"{aligned(rows)}\n\n{count:,} pairs; {error}; area under the ROC curve, "
        f"- with one class only; always {often['kind']}, as at least half of the training pairs are\n"
        f"{results['corpus'][f'{split}_wordless']:,} of their texts have no known word and "
        f"are a vector of zeros\n{'; '.join(twice)}\n"
        f"texts are cut after {results['max_length']} known words: {', '.join(cuts)}"
    )


def write_predictions(
    folder: Path,
    row: dict[str, Any],
    judged: Judged,
    part: PairExamples,
    bounds: tuple[float, float] | None,
    fits: bool = False,
) -> None:
    """Writes where each pair stands, its label, what the model of a row of the results says, and the distance; of
    graded pairs the score that is given too, and under `fits` that of the model."""

    def rows() -> Iterator[tuple[str, ...]]:
        low, high = bounds or (0.0, 1.0)
        for at in np.argsort(judged.rows):
            said = judged.distances[at] <= row["threshold"]
            cells = [kind_of(judged.same[at]), kind_of(said), f"{judged.distances[at]:.6f}"]
            cells += [f"{low + judged.given[at] * (high - low):.6g}"] if bounds else []
            cells += [f"{low + judged.scores[at] * (high - low):.6g}"] if fits else []
            yield part.places[judged.rows[at]], *cells

    header = ["line", "label", "predicted", "distance", *(["given"] if bounds else []), *(["score"] if fits else [])]
    predictions.write(folder, row["model"], header, rows())
