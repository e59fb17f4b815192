"""The study of Wikipedia made twice: with rates by hand, and with one carried rate and more steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from experiments.figures.figure import Figure, Result, study
from experiments.figures.studies import KEYS, WIKI_DATA, read
from w2v_jax.figures.context_gain import draw
from w2v_jax.scaling import analysis, records
from w2v_jax.scaling.cells import cells
from w2v_jax.scaling.records import Record

FIRST = Path(__file__).resolve().parents[3] / "results" / "scaling_wiki.jsonl"
NAMES = {
    "transformer": "transformer",
    "lstm": "LSTM",
    "lstm_unscaled": "LSTM, logits not scaled",
    "shared_kv": "keys and values shared",
    "elementwise": "elementwise",
}
NEAR, FAR = slice(1, 3), slice(64, None)  # words of a window: the second and third, and from the 65th on


def gained(by_position: Sequence[float]) -> float:
    """Nats by which words far into a window are easier than its second and third."""
    near, far = by_position[NEAR], by_position[FAR]
    return sum(near) / len(near) - sum(far) / len(far)


def collect(run: Path) -> dict[str, Any]:
    """The runs of this study, and those of the first as they are committed."""
    studies = {"again": analysis.by_arm(read(run)), "first study": analysis.by_arm(records.read([FIRST]))}
    return {
        "runs": [
            row
            for study, arms in studies.items()
            for arm, name in NAMES.items()
            if arm in arms
            for row in _rows(f"{study}, {name}", arms[arm])
        ]
    }


def _rows(name: str, runs: Sequence[Record]) -> list[dict[str, Any]]:
    """One row for each size and amount of text: means over the seeds."""
    made = [r for r in analysis.usable(runs) if r.by_position]
    longest = {r.run for r in analysis.at_most_tokens(made)}
    groups: dict[int, list[Record]] = {}
    for r, cell in zip(made, cells(np.array([(r.parameters, r.tokens) for r in made], np.float64)), strict=True):
        groups.setdefault(int(cell), []).append(r)
    rows = []
    for own in groups.values():
        first = {key: getattr(own[0], key) for key in KEYS} | {"arm": name, "longest": own[0].run in longest}
        loss = fmean(r.heldout_loss or 0.0 for r in own)
        rows.append(first | {"heldout_loss": loss, "gained": round(fmean(gained(r.by_position or ()) for r in own), 5)})
    return rows


def measure(result: Result) -> dict[str, float]:
    """Of each study at the most words: the two largest sizes' losses, what the second gains, and nats from context."""
    found: dict[str, float] = {}
    for arm in dict.fromkeys(row["arm"] for row in result["runs"]):
        own = sorted((r for r in result["runs"] if r["arm"] == arm and r["longest"]), key=lambda r: r["parameters"])
        small, large = own[-2:]
        found[f"{arm}: loss of the largest"] = large["heldout_loss"]
        found[f"{arm}: gained by the largest over the next"] = small["heldout_loss"] - large["heldout_loss"]
        found[f"{arm}: gained from context by the largest"] = large["gained"]
    return found


FIGURE = Figure(
    shows="models of Wikipedia with hand-set rates and with one carried rate: loss, and what context gains",
    paper="none: it answers a question of the first study",
    recipe=(study("configs/scaling/wiki_again.py", "--config.data.source=text:{wiki_en.*.txt}"),),
    data=WIKI_DATA,
    collect=collect,
    measure=measure,
    draw=draw,
)
