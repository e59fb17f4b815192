"""The best learning rate by size on Wikipedia: one rate for all arrays, and two rules for that of the embedding."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, study
from experiments.figures.gallery.rate_transfer import draw, measure, rows
from experiments.figures.studies import read

STUDIES = {  # by folder, the title of each arm
    "transfer_wiki": "{}, one rate, base 16",
    "transfer_eight": "{}, embedding at 8 times the rate, base 64",
    "transfer_large": "{}, 16 times, falling with the root of the width",
    "transfer_depth": "{}, 16 times",
}
_NAMES = {  # of arms whose title would be too long, or not clear
    "width_standard, 16 times, falling with the root of the width": "width, no scale rule, 16 times",
    "layers, 16 times": "2 and 128 layers, 16 times",
    "layers_standard, 16 times": "2 and 128 layers, no scale rule, 16 times",
}
LARGE, DEEP = "configs/scaling/transfer_large.py", "configs/scaling/transfer_depth.py"
_TEXT = "--config.data.source=text:{wiki_en.*.txt}"
_EIGHT = " ".join(
    f"--config.arms.{arm}.run.model.{key}" for arm in ("width", "depth") for key in ("table_rate=8", "table_power=0")
)

_64, _256, _512, _64_DEEP, _256_DEEP = (
    f'"model.dim={dim} model.heads={dim // 32} model.layers={layers}"'
    for dim, layers in ((64, 2), (256, 2), (512, 2), (64, 8), (256, 8))
)
_SIZES = (
    f"'--config.arms.width.sizes=({_64},{_256},{_512})' '--config.arms.depth.sizes=({_64},{_64_DEEP},{_256_DEEP})' "
    "--config.rates=(0.5,0.7,1.0,1.4,2.0,2.8)"
)
_BASE = f"'--config.arms.width.sizes=({_64},)'"
_SEEDS = (
    f"--arms=width '--config.arms.width.sizes=({_64},)' --config.seeds=(2,3,4,5,6,7) "
    "--config.rates=(0.5,0.7,1.0,1.4,2.0)"
)


def collect(run: Path) -> dict[str, Any]:
    """The runs of all studies."""
    found = [row for folder, title in STUDIES.items() for row in rows(read(run, folder), title)]
    for row in found:
        row["arm"] = _NAMES.get(row["arm"], row["arm"])
    # Panels of a row share their losses: those without the rule, which are far above, stand beside each other.
    return {"runs": sorted(found, key=lambda row: row["arm"] == _NAMES["layers, 16 times"])}


FIGURE = Figure(
    shows="loss by learning rate and size on Wikipedia under the scale rule, with one rate and with two",
    paper="Yang et al. 2022, arXiv 2203.03466; Dey et al. 2025, arXiv 2505.01618",
    recipe=(
        study("configs/scaling/transfer_wiki.py", _TEXT, "transfer_wiki"),
        study(LARGE, f"{_TEXT} {_EIGHT} {_SIZES}", "transfer_eight"),
        study(LARGE, f"{_TEXT} {_EIGHT} {_SEEDS}", "transfer_eight"),
        study(LARGE, f"{_TEXT} --arms=width,depth", "transfer_large"),
        study(LARGE, f"{_TEXT} --arms=width,depth --config.seeds=(2,)", "transfer_large"),
        study(LARGE, f"{_TEXT} --arms=width {_BASE} --config.seeds=(3,)", "transfer_large"),
        study(
            LARGE,
            f"{_TEXT} --arms=width_standard --config.seeds=(0,) --config.rates=(0.125,0.25,0.5,1.4)",
            "transfer_large",
        ),
        study(DEEP, f"{_TEXT} --arms=layers --config.rates=(1.0,1.4,2.0)", "transfer_depth"),
        study(
            DEEP,
            f"{_TEXT} --arms=layers_standard --config.seeds=(0,) --config.rates=(0.125,0.25,0.5,1.4)",
            "transfer_depth",
        ),
    ),
    data="English Wikipedia (spring 2015), 500,000 byte pairs of 2,048 a run; with 8 times one seed at 256 x 8",
    seed=tuple(range(8)),
    collect=collect,
    measure=measure,
    draw=functools.partial(draw, across=2),
)
