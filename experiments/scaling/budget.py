"""`experiments.scaling --budget`: what an amount of compute buys by the runs of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from experiments.scaling.plan import SHARE, chips_of_flag
from launch.chips import GIB
from w2v_jax.errors import UserError
from w2v_jax.papers import NUMBERS
from w2v_jax.scaling.allocation import Allocation, allocate, design_bias
from w2v_jax.scaling.describe import cell, number
from w2v_jax.scaling.fitted import FAR, Fit
from w2v_jax.scaling.isoflop import FLOPS_A_TOKEN
from w2v_jax.scaling.rates import Rates, fit_rates
from w2v_jax.scaling.run_table import Rated, Runs
from w2v_jax.tables import aligned, duration

STATE = 16  # bytes a parameter: itself, its gradient and two moments of Adam in float32
_SAME = 0.02  # FLOPs within this share of 6 N D are the same
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


def show(fit: Fit, budgets: Sequence[float], runs: Runs, device: str | None) -> list[Allocation]:
    """Prints the optimum of each budget, and by how much parabolas through the same runs would miss it.

    `runs` are those that were fitted. UserError: an unknown device.
    """
    rows = [["FLOPs", "of the largest run", "parameters N", "tokens D", "D / N", "loss", *_header(device)]]
    found = [allocate(fit, c) for c in budgets]
    for its in found:
        row = [number(its.flops), f"{its.times:.3g} times", cell(its.n), cell(its.d)]
        row += [f"{its.d.value / its.n.value:.3g}", cell(its.loss)]
        rows.append(row + _costs(its, device))
    print(f"\nBudgets, by the least of {fit.law.formula} at 6 N D = C:\n{aligned(rows)}")
    for line in [*_other_count(runs), *_extrapolated(fit, found)]:
        print(line)
    bias = design_bias(fit, runs.flops, None, budgets)
    if bias is None:
        print("parabolas at equal FLOPs cannot be drawn through runs of these sizes")
    else:
        parts = ", ".join(f"{b.share:+.1%} at {number(b.flops)}" for b in bias)
        print(f"parabolas at equal FLOPs through runs like these, without noise, would miss this N by {parts}")
    if device:
        print(f"memory: {STATE} bytes a parameter without activations; time: at {SHARE:.0%} of the peak, assumed")
    return found


def _other_count(runs: Runs) -> list[str]:
    """What a budget is by the FLOPs of the table, where these are not 6 N D."""
    ratio = runs.flops / (FLOPS_A_TOKEN * runs.parameters * runs.tokens)
    middle = float(np.exp(np.log(ratio).mean()))
    if max(middle, 1 / middle) <= 1 + _SAME:
        return []
    said = f"the table's own FLOPs are {middle:.3g} times 6 N D ({ratio.min():.3g} to {ratio.max():.3g})"
    return [f"{said}; budgets here are 6 N D: divide FLOPs of that count by {middle:.3g} first"]


def _extrapolated(fit: Fit, found: Sequence[Allocation]) -> list[str]:
    """What of the optima is far from the runs."""
    lines = []
    if any(its.times > FAR for its in found):
        far = f"more than {FAR:g} times the largest run is extrapolation"
        lines.append(f"{far}; the intervals assume that the law goes on")
    least = FLOPS_A_TOKEN * float(fit.sizes.prod(1).min())
    if any(its.flops < least / FAR for its in found):
        below = f"less than 1 / {FAR:g} of the smallest run ({number(least)} FLOPs) is extrapolation, too"
        lines.append(f"{below}; small models follow other laws")
    for its in found:
        for symbol, value, low, high in zip("ND", (its.n.value, its.d.value), fit.smallest, fit.largest, strict=True):
            if not low / FAR <= value <= high * FAR:
                beyond = f"{value / high:.3g} times the largest" if value > high else f"{value / low:.3g} of the least"
                lines.append(
                    f"{number(its.flops)} FLOPs: {symbol} = {number(value)} is {beyond} of the runs: extrapolation"
                )
    return lines


def rates_of(rated: Rated, runs: Runs) -> Rates:
    """The laws of rate and batch by the cells of parameters and tokens that the `runs` are of. UserError: no law."""
    cells = set(zip(runs.parameters.tolist(), runs.tokens.tolist(), strict=True))
    kept = [cell in cells for cell in zip(rated.parameters.tolist(), rated.tokens.tolist(), strict=True)]
    return fit_rates(*(column[kept] for column in rated))


def show_rates(read: Callable[[], Rated], runs: Runs, found: Sequence[Allocation]) -> None:
    """Prints learning rate and batch for each optimum: by the table where it varies both, else as published.

    `read` gives the runs of the table, of which `runs` were fitted, with their rates.
    """
    try:
        laws = rates_of(read(), runs)
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
