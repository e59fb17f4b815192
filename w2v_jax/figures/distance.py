"""How far back recurrent cells reach: gradients, agreement and forget gates, by distance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from w2v_jax.figures.style import BARS, DASHED, GREY, Axes, colour, drawing, look
from w2v_jax.files import PathLike

FADE = 0.8  # the factor of the notes
LOWEST = 1e-10  # of the scale of gradients


@dataclasses.dataclass(frozen=True)
class Reach:
    """Measurements of one cell at distances 0..K; norms are relative to distance 0."""

    untrained: dict[str, np.ndarray]  # [K + 1] by part: 'h', and 'state' where the cell remembers more
    trained: dict[str, np.ndarray]
    gates: np.ndarray | None = None  # [N] mean forget gate of the trained cell by bin of equal width from 0 to 1
    agreement: dict[int, tuple[float, float]] | None = None  # accuracy and its standard error by distance


Cells = Mapping[str, Reach]


def reaches(found: Mapping[str, Any]) -> dict[str, Reach]:
    """`Reach` by cell, from the results that `experiments.gradients` writes."""
    out = {}
    for cell, entry in found.items():
        untrained, trained = (
            {part: np.array(v, np.float64) / v[0] for part, v in entry["gradients"][when].items()}
            for when in ("untrained", "trained")
        )
        gates = np.array(entry["forget_gates"]["histogram"], np.float64) if entry["forget_gates"] else None
        agreement = {int(d): (v[0], v[1]) for d, v in entry["agreement"].items()} if entry["agreement"] else None
        out[cell] = Reach(untrained, trained, gates, agreement)
    return out


def draw(
    cells: Cells, gate: float, ceiling: Mapping[int, float], chance: float, out: PathLike, source: str = ""
) -> None:
    """Gradients before and after training beside 0.8^k, then agreement and forget gates where they were measured.

    `gate` is the forget gate that keeps half over the notes' 13 steps; `ceiling` is the best possible accuracy by
    distance, empty without agreement; `chance` is the accuracy of guessing.
    """
    agreement = any(reach.agreement for reach in cells.values())
    gates = any(reach.gates is not None for reach in cells.values())
    lower = [name for name, there in (("agreement", agreement), ("gates", gates)) if there]
    mosaic = [["untrained", "trained"]] + ([[lower[0], lower[-1]]] if lower else [])
    with drawing(out, (13.6, 4.4 * len(mosaic) + 0.5), source) as fig:
        panels: dict[str, Any] = fig.subplot_mosaic(mosaic)
        for name in ("untrained", "trained"):
            _gradients(panels[name], cells, name)
        if agreement:
            _agreement(panels["agreement"], cells, ceiling, chance)
        if gates:
            _gates(panels["gates"], cells, gate)
        handles, labels = panels["trained"].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside upper center", ncols=4)


def _gradients(axes: Axes, cells: Cells, when: str) -> None:
    furthest = 0
    for i, (name, reach) in enumerate(cells.items()):
        for part, values in getattr(reach, when).items():
            whole = part == "state"
            shape: dict[str, Any] = {"marker": None, "linestyle": ":"} if whole else {"markersize": 3.5}
            label = f"{name}, whole state" if whole else name
            axes.plot(np.maximum(values, LOWEST / 10), **look(i, label) | shape)
            furthest = max(furthest, len(values) - 1)
    k = np.arange(furthest + 1)
    axes.plot(k, FADE**k, label=f"{FADE:g}^k", **DASHED)
    axes.set_yscale("log")
    every = [v for reach in cells.values() for norms in (reach.untrained, reach.trained) for v in norms.values()]
    axes.set_ylim(max(LOWEST, min(v.min() for v in every) / 2), max(2.0, 2 * max(v.max() for v in every)))
    axes.set(xlabel="k, steps back", ylabel="norm, relative to k = 0")
    axes.set_title(f"Derivative of the loss by the state k steps back: {when}")


def _agreement(axes: Axes, cells: Cells, ceiling: Mapping[int, float], chance: float) -> None:
    """Cells stand a little apart at each distance, so that equal ones can all be seen."""
    for i, reach in enumerate(cells.values()):
        if reach.agreement:
            x = np.array(sorted(reach.agreement))
            accuracy, error = np.array([reach.agreement[d] for d in x.tolist()]).T
            apart = 2.0 ** (0.08 * (i - (len(cells) - 1) / 2))
            axes.errorbar(x * apart, accuracy, yerr=2 * error, **look(i), **BARS)
    steps = sorted(ceiling)
    axes.plot(steps, [ceiling[d] for d in steps], zorder=4, label="best possible", **DASHED)
    axes.axhline(chance, label="guessing", **DASHED | {"color": GREY})
    axes.set_xscale("log", base=2)
    axes.set_xticks(steps, [str(d) for d in steps])
    axes.set(xlabel="words from subject to verb", ylabel="share of verbs in the right class", ylim=(0, 1.04))
    axes.set_title("Agreement of the trained cells (bars: two standard errors)")
    axes.legend(loc="lower left")


def _gates(axes: Axes, cells: Cells, gate: float) -> None:
    for i, reach in enumerate(cells.values()):
        if reach.gates is not None:
            edges = np.linspace(0.0, 1.0, len(reach.gates) + 1)
            axes.stairs(reach.gates, edges, color=colour(i), linewidth=1.6)
    axes.axvline(gate, label=f"{gate:.3f} keeps half over 13 steps", **DASHED)
    axes.set(xlabel="forget gate", ylabel="share of units and tokens", xlim=(0, 1.0))
    axes.set_title("Forget gates that trained LSTMs use")
    axes.legend(loc="upper left")
