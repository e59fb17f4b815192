"""The key-value ladder: held-out loss of each rung against what its cache weighs, and its speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from w2v_jax.figures.style import colour, drawing, marker, plain
from w2v_jax.files import PathLike


def draw(rungs: Mapping[str, Mapping[str, Any]], base: str, out: PathLike, source: str = "") -> np.ndarray:
    """Left, the loss of every run above the mean of `base`, against cache bytes per token; right, tokens/s.

    Each of the R rungs has 'cache_bytes', 'parameters', 'runs' with 'heldout_loss', and 'rounds' where it was timed.
    Returns float64 [R]: the mean loss of each rung above that of `base`, nats per token.
    """
    losses = {name: np.array([run["heldout_loss"] for run in entry["runs"]]) for name, entry in rungs.items()}
    zero = losses[base].mean()
    timed = all("rounds" in entry for entry in rungs.values())
    with drawing(out, (10.5 if timed else 6.5, 4.6), source) as figure:
        left, *right = figure.subplots(1, 1 + timed, squeeze=False)[0]
        for i, (name, entry) in enumerate(rungs.items()):
            label = plain(f"{name}, {entry['parameters'] / 1e6:.2f}M parameters")
            own = losses[name] - zero
            weight = np.full(len(own), entry["cache_bytes"], float)
            left.plot(weight, own, marker(i), color=colour(i), alpha=0.5, markersize=6)
            left.plot(weight[:1], own.mean(keepdims=True), marker(i), color=colour(i), markersize=11, label=label)
        left.axhline(0.0, color="#999999", linewidth=0.8)
        left.set_xscale("log", base=2)
        weights = sorted({entry["cache_bytes"] for entry in rungs.values()})
        far = [w for i, w in enumerate(weights) if not i or w > 1.15 * weights[i - 1]]  # labels that do not overlap
        left.set_xticks(far, [f"{w:,}" for w in far])
        left.minorticks_off()
        left.set_xlabel("cache, bytes a token")
        left.set_ylabel(plain(f"held-out loss beyond {base}, nats a token"))
        left.set_title("What sharing costs (small: each seed)")
        left.legend(loc="best")
        for axes in right:
            places = np.arange(len(rungs))
            rates = np.array([np.percentile(entry["rounds"], (25, 50, 75)) for entry in rungs.values()])
            axes.bar(places, rates[:, 1], color=[colour(i) for i in range(len(rungs))], alpha=0.85, width=0.62)
            spread = np.abs(rates[:, [0, 2]] - rates[:, [1]]).T
            axes.errorbar(places, rates[:, 1], yerr=spread, fmt="none", ecolor="black", capsize=4, linewidth=1.0)
            axes.set_xticks(places, [plain(name.replace("_", "\n")) for name in rungs])
            axes.set_ylabel("training tokens/s")
            axes.set_title("Speed of a step (whiskers: quartiles)")
            axes.grid(visible=False, axis="x")
    return np.array([own.mean() - zero for own in losses.values()])
