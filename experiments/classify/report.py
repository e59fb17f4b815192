"""The results of `experiments.classify` as text, and what each method says of each test text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.classify.texts import Texts
from experiments.common import predictions, shares
from w2v_jax.evaluation import linear
from w2v_jax.evaluation.classification import paired, per_class
from w2v_jax.figures.style import MAJORITY
from w2v_jax.tables import aligned

HEADER = ("line", "label", "predicted", "probability")
CLASSES = 40  # rows of the table of labels, at most


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    rows = [["method", "features", "accuracy", "p", "macro F1", "C", "seconds for features", "and the fit"]]
    beside = results["paired"]
    for row in results["methods"]:
        one = beside["methods"].get(row["method"])
        accuracy = shares.told(row["accuracy"], results["test_texts"])
        cells = [f"{row['dimensions']:,}", accuracy, f"{one['p']:.2g}" if one else "-"]
        cells += [f"{row['macro_f1']:.4f}", f"{row['strength']:g}"]
        rows.append([row["method"], *cells, f"{row['seconds_features']:.1f}", f"{row['seconds_fit']:.1f}"])
    error = shares.about(row["accuracy"] for row in results["methods"])
    lines = [
        aligned(rows),
        "",
        f"{results['test_texts']:,} test texts, {len(results['labels'])} labels; {error}; {MAJORITY}: "
        f"{results['majority']:.2%}",
    ]
    if beside["methods"]:
        lines.append(f"p: McNemar's exact test against {beside['best']}, on the same texts; of each method alone")
    return "\n".join([*lines, *_notes(results)])


def _notes(results: Mapping[str, Any]) -> list[str]:
    """What makes rows doubtful."""
    out = []
    short = [row["method"] for row in results["methods"] if not row["converged"]]
    if short:
        out.append(f"not converged after {linear.STEPS} steps: {', '.join(short)}")
    for end, what in ((linear.STRENGTHS[0], "smallest"), (linear.STRENGTHS[-1], "largest")):
        if at_end := [row["method"] for row in results["methods"] if row["strength"] == end]:
            out.append(f"C is the {what} that is tried, and further ones may be better: {', '.join(at_end)}")
    for row in results["methods"]:
        given = np.flatnonzero(np.array(row["confusion"]).sum(0))
        if len(given) == 1:
            out.append(f"warning: {row['method']} gives every test text one label, {results['labels'][given[0]]}")
    return out


def against_best(folder: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    """The method of the highest accuracy beside each other one, on the same texts, from the tables of predictions; a
    method whose table is not there is left out."""
    texts, rows = results["test_texts"], results["methods"]
    best = max(rows, key=lambda row: row["accuracy"])
    right = {row["method"]: _right(folder, row, texts) for row in rows}
    first = right.pop(best["method"])
    others = {} if first is None else {name: paired(first, other) for name, other in right.items() if other is not None}
    return {"best": best["method"], "methods": {name: found._asdict() for name, found in others.items()}}


def _right(folder: Path, row: Mapping[str, Any], texts: int) -> np.ndarray | None:
    """Which test texts a method gets right, bool [M]; None where its table of predictions is not there, or of other
    texts than the row."""
    file = folder / predictions.file_of(row["method"])
    if not file.is_file():
        return None
    cells = [line.split("\t") for line in file.read_text(encoding="utf-8").split("\n")[1:] if line]
    found = np.array([len(cell) == len(HEADER) and cell[1] == cell[2] for cell in cells], bool)
    return found if len(found) == texts and found.mean() == row["accuracy"] else None


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
    predictions.write(folder, method, HEADER, rows)
