"""The names of a classifier's labels."""

from __future__ import annotations

from pathlib import Path

from w2v_jax.files import read_json
from w2v_jax.train.folder import RESULT
from w2v_jax.train.restore import Model

LABELS = ("negative", "positive")  # of data.labels=binary and sst2


def label_of(model: Model, folder: Path, label: int) -> str:
    """The name of a label; under data.labels=named it stands in the results of the run."""
    labels = model.config.data.labels
    if labels == "named":
        names = ((read_json(folder / RESULT) or {}).get("corpus") or {}).get("labels") or []
        return str(names[label]) if label < len(names) else f"label {label}"
    return f"label {label}" if labels == "as_is" else LABELS[label]
