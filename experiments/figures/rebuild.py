"""What the committed results of each figure hold, which numbers of ours they give, and how they are drawn.

One function a figure takes the `result` of its record apart, whole, before anything is drawn: a damaged record fails
there, with one of `DAMAGED`, and leaves no picture. None trains or needs JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.figures import convergence, distance, ladder, maps, optimum, throughput
from w2v_jax.figures import keys_values as keys_values_figure
from w2v_jax.figures import scaling as scaling_figure
from w2v_jax.scaling.fitted import Value
from w2v_jax.scaling.published import PUBLISHED

GATE_STEPS = 13  # words from *dog* to *won* by the notes
GATE = 0.5 ** (1 / GATE_STEPS)  # the forget gate that keeps half of a memory over them
BACK = (5, 10, 13)  # steps back of which the notes compute 0.8^k
DAMAGED = (KeyError, TypeError, ValueError, IndexError, AttributeError)  # what reading a result of another shape raises


class Drawing(NamedTuple):
    """A figure whose results have been read."""

    measured: dict[str, float]  # ours, by the names that the published numbers use
    draw: Callable[[str, str], object]  # (picture, small print) writes it


Load = Callable[[Mapping[str, Any]], Drawing]


def wiki_map(result: Mapping[str, Any]) -> Drawing:
    """'groups' (words by name), 'vectors' by word, 'pairs' (country, capital), 'vocabulary', 'analogies' (a share)."""
    groups = {str(name): [str(w) for w in members] for name, members in result["groups"].items()}
    words = [w for members in groups.values() for w in members]
    vectors = np.array([result["vectors"][w] for w in words], np.float64)
    if vectors.ndim != 2 or len(set(words)) != len(words) or not all(groups.values()):
        raise ValueError("groups must have words, all different, and their vectors be equally long")
    row = dict(zip(words, maps.unit(vectors), strict=True))
    offsets = maps.unit(np.stack([row[capital] - row[country] for country, capital in result["pairs"]]))
    count, vocabulary = len(offsets), int(result["vocabulary"])
    parallel = ((offsets @ offsets.T).sum() - count) / (count * (count - 1))  # the mean over different pairs
    measured = {
        "analogies": 100.0 * float(result["analogies"]),
        "mean cosine between capital - country offsets": float(parallel),
    }
    return Drawing(
        measured,
        lambda out, source: maps.draw_map(words, vectors, out, groups, vocabulary=vocabulary, source=source),
    )


def synthetic_optimum(result: Mapping[str, Any]) -> Drawing:
    """'runs' by label, as in evaluation.json: of each kind of word 'model', 'optimum', 'gap', 'standard_error'."""
    keys = ("model", "optimum", "gap", "standard_error")
    runs = {
        str(label): {str(kind): {key: float(entry[key]) for key in keys} for kind, entry in kinds.items()}
        for label, kinds in result["runs"].items()
    }
    measured = {f"{label}: loss": kinds["all"]["model"] for label, kinds in runs.items()}
    return Drawing(measured, lambda out, source: optimum.draw(runs, out, source))


def throughput_by_length(result: Mapping[str, Any]) -> Drawing:
    """throughput.json without its command: 'options', 'training', 'prompt' and 'verdicts'."""
    lengths = [int(n) for n in result["options"]["lengths"]]
    panels = throughput.panels(result, int(result["options"]["tokens"]), int(result["options"]["batch"]))
    if any(len(values) != len(lengths) for rates in panels.values() for values in rates.values()):
        raise ValueError("there must be a rate for every length")
    measured = {name: float(entry["largest"]) for name, entry in result["verdicts"].items()}
    return Drawing(measured, lambda out, source: throughput.draw(lengths, panels, out, source))


def ptb_curves(result: Mapping[str, Any]) -> Drawing:
    """'runs': of each 'label', 'loss' and 'heldout' ([pass, nats]), 'validation' and 'test' (perplexities)."""

    def curve(points: Any) -> np.ndarray:
        return np.array(points, np.float64).reshape(-1, 2)

    plain, dropped, attends = result["runs"]
    drawn = [  # of one kind: nats a token of the same text
        convergence.RunCurves(str(r["label"]), "", curve(r["loss"]), curve(r["heldout"]), {})
        for r in (plain, dropped, attends)
    ]
    measured = {
        "test": float(plain["test"]),
        "validation at the end": math.exp(drawn[0].heldout[-1, 1]),
        "test with dropout": float(dropped["test"]),
        "test of the transformer": float(attends["test"]),
    }
    return Drawing(measured, lambda out, source: convergence.draw(drawn, out, source))


def imdb_ladder(result: Mapping[str, Any]) -> Drawing:
    """'majority' (a share) and 'models', as in the results.json of the ladder."""
    keys = {"model": str, "parameters": int, "heldout_accuracy": float, "test_accuracy": float, "test_error": float}
    rows = [{key: kind(row[key]) for key, kind in keys.items()} for row in result["models"]]
    majority = float(result["majority"])
    measured = {str(row["model"]): 100.0 * float(row["test_accuracy"]) for row in rows}
    return Drawing(measured, lambda out, source: ladder.draw(rows, majority, out, source))


def gradients(result: Mapping[str, Any]) -> Drawing:
    """gradients.json without its command: 'cells', 'ceiling' and 'chance'."""
    cells = distance.reaches(result["cells"])
    ceiling = {int(d): float(share) for d, share in result["ceiling"].items()}
    chance = float(result["chance"])
    measured = {f"rnn {k}": float(cells["rnn"].untrained["h"][k]) for k in BACK}
    measured["lstm gate"] = float(result["cells"]["lstm"]["forget_gates"]["quantiles"]["0.5"])
    return Drawing(measured, lambda out, source: distance.draw(cells, GATE, ceiling, chance, out, source))


def keys_values(result: Mapping[str, Any]) -> Drawing:
    """results.json of the key-value ladder without its command: 'rungs'."""
    rungs = result["rungs"]
    base = "per_layer"
    losses = {name: np.array([float(run["heldout_loss"]) for run in rung["runs"]]) for name, rung in rungs.items()}
    measured = {
        f"{name}, beyond {base}": float((x - losses[base]).mean()) for name, x in losses.items() if name != base
    }
    measured["cache, times smaller"] = float(rungs[base]["cache_bytes"] / rungs["shared_kv"]["cache_bytes"])
    return Drawing(measured, lambda out, source: keys_values_figure.draw(rungs, base, out, source))


def chinchilla(result: Mapping[str, Any]) -> Drawing:
    """fit.json of `experiments.scaling --fit`: 'parametric', by name 'value', 'low' and 'high'."""
    values = {k: Value(*(float(v[x]) for x in ("value", "low", "high"))) for k, v in result["parametric"].items()}
    groups: dict[str, dict[str, Value]] = {}
    for name in ("E", "alpha", "beta"):
        groups[name] = {"ours, the same runs": values[name]}
        groups[name] |= {law.name: law.value(name) for law in PUBLISHED if name in law.values}
    measured = {name: value.value for name, value in values.items()}
    return Drawing(measured, lambda out, source: scaling_figure.draw_forest(groups, out, source=source))
