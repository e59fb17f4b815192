"""A forecast in words: one line for each program, the traffic, the limits, hours and cost, and go or no-go."""

from __future__ import annotations

import math

from launch.chips import GIB
from launch.forecast import Forecast
from launch.slices import price

PARTS = ("parameters", "optimiser", "batches", "working space")


def lines(found: Forecast, tokens: float = 0.0, spot: bool = False) -> list[str]:
    """The lines of a forecast without the verdict. `tokens` 0: hours and cost are those of a billion units."""
    out = [_program(name, found) for name in found.programs]
    out.append(
        f"FLOPs: {found.flops:.4g} a step for {found.units:,.0f} {found.unit}s, of which {found.model_flops:.4g}"
        f" ({found.model_flops / max(1.0, found.flops):.0%}) are the model's"
    )
    sent = sorted(found.sent().items(), key=lambda item: -item[1])
    where = ", ".join(f"{kind} over {axes} {size / GIB:.3g}" for (kind, axes), size in sent)
    out.append(f"network, GiB that a device receives in a step: {where or 'nothing'}")
    limits = ", ".join(f"{name} {seconds * 1e3:.3g}" for name, seconds in found.limits.items())
    out.append(
        f"limits of a step, ms: {limits}; the largest is {found.limit}: at most {found.rate:,.4g} {found.unit}s/s,"
        f" MFU {found.mfu:.0%}"
    )
    out.append(cost_line(found, tokens, spot))
    return out


def _program(name: str, found: Forecast) -> str:
    program, room = found.programs[name], found.where.chip.hbm
    if program.memory is None:
        return f"{name}: {program.failure}"
    parts = ", ".join(f"{part} {size / GIB:.3f}" for part, size in zip(PARTS, program.memory, strict=True))
    how = f"compiled in {program.seconds:.0f} s" if found.where.compiles else "by arithmetic, not compiled"
    return f"{name}: {program.memory.total / GIB:.2f} of {room / GIB:.2f} GiB on a device ({parts}); {how}"


def hours(found: Forecast, tokens: float) -> float:
    """Hours at least for `tokens` units."""
    return tokens / found.rate / 3600


def cost_line(found: Forecast, tokens: float, spot: bool) -> str:
    """Hours and cost of `tokens` units, or of a billion."""
    amount, chip = tokens or 1e9, found.where.chip
    took = hours(found, amount)
    dollars, each = price(found.where, took, spot), chip.price(spot)
    paid = (
        f"at least ${dollars:,.2f} at ${each:.2f} a chip and hour, {chip.region}, {chip.date}"
        if not math.isnan(dollars)
        else f"the {'spot ' if spot else ''}price of a chip is not known: write it into launch/chips.tsv"
    )
    return f"{amount:,.4g} {found.unit}s: at least {took:,.3g} hours on {len(found.where.devices)} chips, {paid}"
