"""The results of `experiments.classify` as text."""

from __future__ import annotations

from typing import Any

from w2v_jax.evaluation import linear
from w2v_jax.tables import aligned


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
