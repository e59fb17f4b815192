"""Pictures read back, records of the gallery, and figures drawn from them by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imread

from experiments.figures.show import RESULTS
from tests.commands import Done, run
from w2v_jax.figures import style

FIGURES = "experiments.figures"


def count_pixels(path: Path, index: int) -> int:
    """Pixels of a picture that have the index-th colour of the palette."""
    wanted = [int(style.colour(index)[i : i + 2], 16) for i in (1, 3, 5)]
    picture = np.round(imread(path)[..., :3] * 255).astype(int)
    return int((np.abs(picture - wanted).sum(axis=-1) < 6).sum())


def result_of(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["result"])


def redraw(name: str, folder: Path, out: Path) -> Done:
    return run(FIGURES, name, f"--results={folder}", f"--out={out}")
