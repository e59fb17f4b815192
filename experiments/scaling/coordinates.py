"""`experiments.scaling --coordinates`: the coordinate check of every size of a study, as a table and a picture."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.figures.scaling_study import coordinates, draw_coordinates
from w2v_jax.files import write_json
from w2v_jax.models import MODELS
from w2v_jax.scaling.coordinates import ROWS, STEPS, WORDS, moved
from w2v_jax.scaling.ledger import ledger
from w2v_jax.scaling.study import Arm, Study, sized
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned

FILE, PICTURE = "coordinates.json", "coordinates.png"


def make(study: Study, out: str | None, command: str) -> int:
    """Measures, prints, and writes FILE and PICTURE into the folder `out` where one is given; returns 0.

    UserError: no arm of the study is a causal language model that is trained.
    """
    rows = measure(study)
    print(aligned(table(rows)))
    print(f"root mean squares of what {STEPS} steps of AdamW at the full rate change, on a random batch of {ROWS} rows")
    if out:
        folder = to_path(out)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, {"command": command, "steps": STEPS, "rows": ROWS, "words": WORDS, "runs": rows})
        source = f"{STEPS} steps of AdamW, batch of {ROWS} rows, {WORDS} random words; {command}"
        draw_coordinates(coordinates(rows), folder / PICTURE, source=source)
        print(f"written: {folder / FILE}, {folder / PICTURE}")
    return 0


def measure(study: Study) -> list[dict[str, Any]]:
    """One row a size: arm, size, parameters without embeddings, what moved by layer, and the logits."""
    rows: list[dict[str, Any]] = []
    arms = {name: arm for name, arm in study.arms.items() if _causal(arm)}
    every = sum(len(arm.sizes) for arm in arms.values())
    for name, arm in arms.items():
        for size in arm.sizes:
            print(f"size {len(rows) + 1} of {every}: {name}, {size}", file=sys.stderr)
            config = dataclasses.replace(sized(arm.run, size), data=study.data)
            found = moved(config)
            weights = ledger(config, WORDS).without_embeddings
            states = [round(float(x), 6) for x in found.states]
            rows.append({"arm": name, "size": size, "weights": weights, "states": states, "logits": found.logits})
    if not rows:
        raise UserError("--coordinates: no arm of this study is a causal language model; the check is for those")
    return rows


def _causal(arm: Arm) -> bool:
    spec = MODELS[arm.run.family]
    encode = spec.encode if spec.train is not None else None
    return encode is not None and encode.logits is not None and encode.causal(arm.run.model)


def table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """With the change of the last state and the logits beside those of the arm's first size."""
    head = [
        "arm",
        "size",
        "parameters without emb.",
        "embeddings",
        "last state",
        "logits",
        "state / first",
        "logits / first",
    ]
    cells, first = [head], dict[str, Mapping[str, Any]]()
    for row in rows:
        base = first.setdefault(row["arm"], row)
        moves = [row["states"][0], row["states"][-1], row["logits"]]
        ratios = [row["states"][-1] / base["states"][-1], row["logits"] / base["logits"]]
        shown = [*(f"{x:.4f}" for x in moves), *(f"{x:.2f}" for x in ratios)]
        cells.append([row["arm"], row["size"], f"{row['weights']:,}", *shown])
    return cells
