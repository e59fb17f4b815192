"""What the committed results of scaling studies hold; see `experiments.rebuild`.

Each record has 'runs': of every finished run of the study the values of the keys that its figure needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.figures.rebuild import Drawing
from w2v_jax.figures import scaling_study
from w2v_jax.scaling import analysis
from w2v_jax.scaling.analysis import CLAIMED_ACCURACY
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.records import FINISHED, Record

_RUN = ("run", "arm", "family", "seed", "parameters", "tokens", "training_flops")
FAMILIES = (*_RUN, "heldout_loss", "optimum")
ACCURACY = (*_RUN, "heldout_accuracy")
POSITIONS = (*_RUN, "by_position")
TESTS = {"analogies, %": "analogies questions-words", "MEN, Spearman, %": "similarity men"}
VECTORS = (*_RUN, "words_per_second", "quality")


def _record(row: Mapping[str, Any], keys: tuple[str, ...], **config: Any) -> Record:
    rest: dict[str, Any] = {"status": FINISHED, "config_hash": "", "config": config, "revision": ""}
    rest |= {"parameters_without_embeddings": 0, "flops_per_token": 0.0}
    return Record(**{key: row[key] for key in keys}, **rest)


def _runs(result: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, list[Record]]:
    return analysis.by_arm([_record(row, keys) for row in result["runs"]])


def families(result: Mapping[str, Any]) -> Drawing:
    """Loss by size and by training FLOPs; where the best possible loss is known, the distance from it."""
    arms = _runs(result, FAMILIES)
    runs = [r for own in arms.values() for r in own]
    laws = [analysis.laws(arm, analysis.usable(own)) for arm, own in arms.items()]
    measured: dict[str, float] = {}
    for law in laws:
        values = law.parametric.values if isinstance(law.parametric, Fit) else {}
        measured |= {f"{law.arm}: {name}": values[name].value for name in ("E", "alpha", "beta") if name in values}
        powers = (("N", law.by_size), ("D", law.by_tokens), ("C", law.frontier))
        measured |= {f"{law.arm}: power of {x}": fit.values["alpha"].value for x, fit in powers if isinstance(fit, Fit)}
    measured |= {f"{floor.arm}: miss": floor.miss for floor in analysis.floors(laws, runs)}
    sizes, costs = {}, {}
    for arm, own in arms.items():
        n, _, _, loss = analysis.columns(analysis.at_most_tokens(own))
        sizes[arm] = (n, loss)
        _, _, c, loss = analysis.columns(own)
        costs[arm] = (c, loss)
        measured[f"{arm}: lowest loss"] = float(loss.min())
    best = runs[0].optimum
    return Drawing(
        measured, lambda out, source: scaling_study.draw_families(sizes, costs, out, optimum=best, source=source)
    )


def accuracy(result: Mapping[str, Any]) -> Drawing:
    """Next-word accuracy by parameters at the most tokens."""
    curves = {arm: analysis.accuracies(own) for arm, own in _runs(result, ACCURACY).items()}
    measured = {arm: 100.0 * float(shares.max()) for arm, (_, shares) in curves.items()}
    large = [share for sizes, shares in curves.values() for n, share in zip(sizes, shares, strict=True) if n >= 1e6]
    measured["best from 1M parameters on"] = 100.0 * float(max(large))
    return Drawing(
        measured, lambda out, source: scaling_study.draw_accuracy(curves, CLAIMED_ACCURACY, out, source=source)
    )


def positions(result: Mapping[str, Any]) -> Drawing:
    """Loss by position in the context, of the largest run of each arm."""
    found = {arm: analysis.read_longest(own) for arm, own in _runs(result, POSITIONS).items()}
    longest = {arm: r for arm, r in found.items() if r is not None}
    curves = {arm: np.array(r.by_position, np.float64) for arm, r in longest.items()}
    best, rest = analysis.behind(curves)
    measured = {f"{arm} above {best}, tokens {a} to {b}": nats for arm, spans in rest.items() for a, b, nats in spans}
    name = {arm: f"{arm}, {r.parameters:,} parameters" for arm, r in longest.items()}
    shown = {name[arm]: curve.tolist() for arm, curve in curves.items()}
    beside = name[best]
    return Drawing(measured, lambda out, source: scaling_study.draw_positions(shown, out, beside=beside, source=source))


def vectors(result: Mapping[str, Any]) -> Drawing:
    """Quality of word vectors by dimensions and training words; 'dim' is beside the keys of the record."""
    runs = [_record(row, VECTORS, model={"dim": int(row["dim"])}) for row in result["runs"]]
    found = analysis.vector_quality(runs)
    tests = {title: 100.0 * found.scores[name] for title, name in TESTS.items()}
    measured: dict[str, float] = {}
    for i, dim in enumerate(found.dims):
        cell = found.cells[dim, found.words[-1]]
        measured |= {f"{test}, {dim} dimensions": float(grid[i, -1]) for test, grid in tests.items()}
        measured[f"words/s, {dim} dimensions"] = sum(r.words_per_second or 0.0 for r in cell) / len(cell)
        measured[f"MiB of vectors, {dim} dimensions"] = cell[0].parameters * 4 / 2**20
    return Drawing(
        measured, lambda out, source: scaling_study.draw_heat(found.dims, found.words, tests, out, source=source)
    )
