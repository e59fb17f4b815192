"""The runs of a study as one table for other programs, in the columns that Weights & Biases exports."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from w2v_jax.files import write_text
from w2v_jax.scaling.records import Record

RUNS = "runs.csv"
_SUMMARY = (
    *("parameters", "parameters_without_embeddings", "tokens", "training_flops", "heldout_loss", "heldout_accuracy"),
    *("heldout_bits_per_byte", "train_loss", "optimum", "words_per_second", "seconds", "peak_bytes"),
    *("made_flops", "made_seconds", "flops_per_token", "vocabulary", "config_hash"),
    *("heldout_unigram_loss", "heldout_unigram_accuracy"),  # by which --fit knows runs on the plateau
)


def write(records: Sequence[Record], path: Path) -> None:
    """One line a run: Name, State, Group (the arm), the summary, and every key of the config as `config.KEY`.

    `experiments.scaling --fit` takes the same runs from it as from the results.
    """
    rows = [_row(r) for r in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, out.getvalue())


def _row(r: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"Name": r.run, "State": r.status, "Group": r.arm, "seed": r.seed, "code": r.revision}
    row |= {name: getattr(r, name) for name in _SUMMARY}
    return row | {f"config.{key}": value for key, value in flat(r.config).items()}


def flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Values by the keys that lead to them, with dots between."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found
