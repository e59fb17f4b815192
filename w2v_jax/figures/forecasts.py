"""Forecasts with their intervals, beside the runs that they rest on and those that came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from w2v_jax.figures.style import GREY, colour, drawing, look, plain
from w2v_jax.files import PathLike

_STYLES = ((GREY, ":"), (GREY, "--"), ("black", ":"), ("black", "--"), ("black", "-"))  # of the forecasts in order
_APART = 1.16  # factor between the FLOPs of two forecasts of one run, so that both are seen


def draw(result: Mapping[str, Any], out: PathLike, source: str = "") -> None:
    """Loss against training FLOPs: the fitted runs by size, each forecast with its 95 % interval, and what came.

    `result` has 'runs' and 'came', rows with parameters, training_flops, heldout_loss and config_hash, and 'forecasts',
    by name the targets with config_hash, training_flops, times and loss [value, low, high]; a free end is None. Where
    runs have an 'optimum', a line is at its mean.
    """
    with drawing(out, (8.2, 5.0), source) as figure:
        axes = figure.subplots()
        for i, size in enumerate(sorted({row["parameters"] for row in result["runs"]})):
            own = sorted((r["training_flops"], r["heldout_loss"]) for r in result["runs"] if r["parameters"] == size)
            x, y = np.array(own, np.float64).T
            axes.plot(x, y, **look(i, f"{size:,} parameters") | {"linestyle": "none"})
        for i, (name, targets) in enumerate(result["forecasts"].items()):
            for j, target in enumerate(targets):
                x, (value, low, high) = target["training_flops"] * _APART**i, target["loss"]
                ends = [end for end in (low, value, high) if end is not None]
                shade, style = _STYLES[i % len(_STYLES)]
                label = plain(name) if j == 0 else None
                axes.plot([x] * len(ends), ends, f"_{style}", color=shade, markersize=12, linewidth=1.8, label=label)
        rows = result["came"]
        if rows:
            x, y = np.array([(row["training_flops"], row["heldout_loss"]) for row in rows], np.float64).T
            axes.plot(x, y, "*", color=colour(1), markersize=13, label="what came")
        best = [row["optimum"] for row in (*result["runs"], *rows) if row.get("optimum")]
        if best:
            axes.axhline(sum(best) / len(best), color=GREY, linewidth=0.9, label="best possible")
        axes.set(xscale="log", xlabel="training FLOPs", ylabel="held-out loss, nats a token")
        axes.legend(fontsize=8)
