"""`experiments.scaling --budget`: what an amount of compute buys by the runs of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.scaling.plan import SHARE, chips_of_flag
from launch.chips import GIB
from w2v_jax.errors import UserError
from w2v_jax.papers import NUMBERS
from w2v_jax.scaling.allocation import Allocation, allocate, design_bias
from w2v_jax.scaling.describe import cell, number
from w2v_jax.scaling.fitted import FAR, Fit
from w2v_jax.scaling.rates import fit_rates
from w2v_jax.scaling.run_table import read_columns
from w2v_jax.scaling.where import Condition
from w2v_jax.tables import aligned, duration

STATE = 16  # bytes a parameter: itself, its gradient and two moments of Adam in float32
# First those that most tables lack, as the first one that is missing is named.
_RATES = ("learning_rate", "batch_tokens", "parameters", "tokens", "loss")
_STEP_LAW = ((2.147e8, 1.0737e9), (4e9, 1e11))  # N and D of the dense runs of its authors: least and greatest


def parse(text: str) -> list[float]:
    """FLOPs from `1e21,1e24`. UserError: not positive numbers."""
    try:
        budgets = [float(part) for part in text.split(",")]
    except ValueError:
        budgets = []
    if not budgets or not all(np.isfinite(c) and c > 0 for c in budgets):
        raise UserError(f"--budget={text}: must be FLOPs such as 1e21, or several with commas between")
    return budgets


def show(fit: Fit, budgets: Sequence[float], flops: np.ndarray, device: str | None) -> list[Allocation]:
    """Prints the optimum of each budget, and by how much parabolas through the same runs would miss it.

    `flops` [n] are those of the fitted runs. UserError: an unknown device.
    """
    rows = [["FLOPs", "of the largest run", "parameters N", "tokens D", "D / N", "loss", *_header(device)]]
    found = [allocate(fit, c) for c in budgets]
    for its in found:
        row = [number(its.flops), f"{its.times:.3g} times", cell(its.n), cell(its.d)]
        row += [f"{its.d.value / its.n.value:.3g}", cell(its.loss)]
        rows.append(row + _costs(its, device))
    print(f"\nBudgets, by the least of {fit.law.formula} at 6 N D = C:\n{aligned(rows)}")
    if any(its.times > FAR for its in found):
        print(f"more than {FAR:g} times the largest run is extrapolation; the intervals assume that the law goes on")
    least = float(np.min(flops))
    if any(its.flops < least / FAR for its in found):
        below = f"less than 1 / {FAR:g} of the smallest run ({number(least)} FLOPs) is extrapolation, too"
        print(f"{below}; small models follow other laws")
    bias = design_bias(fit, flops, None, budgets)
    if bias is None:
        print("parabolas at equal FLOPs cannot be drawn through runs of these sizes")
    else:
        parts = ", ".join(f"{b.share:+.1%} at {number(b.flops)}" for b in bias)
        print(f"parabolas at equal FLOPs through runs like these, without noise, would miss this N by {parts}")
    if device:
        print(f"memory: {STATE} bytes a parameter without activations; time: at {SHARE:.0%} of the peak, assumed")
    return found


def show_rates(path: Path, where: Sequence[Condition], found: Sequence[Allocation]) -> None:
    """Prints learning rate and batch for each optimum: by the table where it varies both, else as published."""
    try:
        rate, batch, n, d, loss = read_columns(path, _RATES, where).values()
        laws = fit_rates(n, d, rate, batch, loss)
    except UserError as e:
        print(f"rate and batch are not by this table ({e}); by the Step law as published, for AdamW on web text:")
        k, a, b, m, c = (
            NUMBERS["steplaw", x].value
            for x in ("rate, coefficient", "rate by N", "rate by D", "batch, coefficient", "batch by D")
        )
        pairs = [(k * its.n.value**a * its.d.value**b, m * its.d.value**c) for its in found]
        known = _STEP_LAW
    else:
        print(f"rate and batch by the optima of {len(laws.cells)} cells of parameters and tokens:")
        pairs = [
            (float(laws.rate.at(N=its.n.value, D=its.d.value)), float(laws.batch.at(D=its.d.value))) for its in found
        ]
        n_of, d_of = ([getattr(cell, size) for cell in laws.cells] for size in "nd")
        known = (min(n_of), max(n_of)), (min(d_of), max(d_of))
    outside = False
    for its, (rate, batch) in zip(found, pairs, strict=True):
        near = all(low / FAR <= x.value <= FAR * high for x, (low, high) in zip((its.n, its.d), known, strict=True))
        mark = "" if near else " (extrapolated)"
        print(f"  {number(its.flops)} FLOPs: learning rate {rate:.3g}, batch {number(batch)} tokens{mark}")
        outside = outside or not near
    if outside:
        ranges = " and ".join(f"{x} from {number(a)} to {number(b)}" for x, (a, b) in zip("ND", known, strict=True))
        print(f"these laws come from runs of {ranges}; more than {FAR:g} times beyond is extrapolation")


def _header(device: str | None) -> list[str]:
    return ["memory of a device, GiB", "time"] if device else []


def _costs(its: Allocation, device: str | None) -> list[str]:
    if not device:
        return []
    chip, count = chips_of_flag(device)
    memory = STATE * its.n.value / count
    fits = "" if memory <= chip.hbm else ", does not fit"
    seconds = its.flops / (SHARE * chip.flops * count)
    return [f"{memory / GIB:.3g} of {chip.hbm / GIB:.4g}{fits}", duration(seconds)]
