"""The results of `experiments.classify` as text, and what each method says of each test text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from experiments.classify.texts import Texts
from experiments.common import predictions
from w2v_jax.evaluation import linear
from w2v_jax.evaluation.classification import per_class
from w2v_jax.tables import aligned

CLASSES = 40  # rows of the table of labels, at most


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    rows = [["method", "features", "accuracy", "macro F1", "C", "seconds for features", "and the fit"]]
    for row in results["methods"]:
        accuracy = f"{row['accuracy']:.2%} ± {row['error']:.2%}"
        cells = [f"{row['dimensions']:,}", accuracy, f"{row['macro_f1']:.4f}", f"{row['strength']:g}"]
        rows.append([row["method"], *cells, f"{row['seconds_features']:.1f}", f"{row['seconds_fit']:.1f}"])
    short = [row["method"] for row in results["methods"] if not row["converged"]]
    lines = [
        aligned(rows),
        "",
        f"{results['test_texts']:,} test texts, {len(results['labels'])} labels; ± one standard error; always the most "
        f"frequent label: {results['majority']:.2%}",
    ]
    if short:
        lines.append(f"not converged after {linear.STEPS} steps: {', '.join(short)}")
    return "\n".join(lines)


def labels(results: dict[str, Any]) -> str:
    """Scores of each label by the method of the highest accuracy, as text; of many labels those of most test texts."""
    best = max(results["methods"], key=lambda row: row["accuracy"])
    confusion = np.array(best["confusion"])
    scores, counts = per_class(confusion), confusion.sum(1)
    shown = sorted(np.argsort(-counts, kind="stable")[:CLASSES])
    rows = [["label", "precision", "recall", "F1", "test texts"]]
    for label in shown:
        cells = ["-" if math.isnan(x) else f"{x:.4f}" for x in scores[label]]
        rows.append([results["labels"][label], *cells, f"{counts[label]:,}"])
    text = f"each label by {best['method']}, the method of the highest accuracy:\n{aligned(rows)}"
    left = len(counts) - len(shown)
    return text + (f"\n{left:,} labels of fewer test texts are left out; results.json has their confusion" * (left > 0))


def write_predictions(folder: Path, method: str, texts: Texts, probabilities: np.ndarray) -> None:
    """Writes where each test text stands, its label, the most probable one and the probability of that."""
    places = texts.test_places or [str(i + 1) for i in range(len(texts.test))]
    rows = []
    for place, label, row in zip(places, texts.test_labels, probabilities, strict=True):
        best = int(row.argmax())
        rows.append((place, texts.names[label], texts.names[best], f"{row[best]:.6f}"))
    predictions.write(folder, method, ("line", "label", "predicted", "probability"), rows)
