"""What a machine costs, from the table of chips (`launch/chips.tsv`), which the user may edit."""

from __future__ import annotations

import math

from launch.chips import TABLE, chips
from launch.cloud.accelerators import slice_of


def per_hour(accelerator: str, slices: int, spot: bool, path: str = "") -> float:
    """Dollars an hour of all slices; nan where the table has no price. UserError: the table cannot be read."""
    piece = slice_of(accelerator)
    chip = chips(path or TABLE).get(piece.generation)
    return math.nan if chip is None else chip.price(spot) * piece.chips * slices


def sentence(accelerator: str, slices: int, spot: bool, hours: float, path: str = "") -> str:
    """One line: the price of an hour, and the most that `hours` can cost. `path`: the user's own table of chips."""
    piece = slice_of(accelerator)
    what = f"{slices} x {accelerator}" if slices > 1 else accelerator
    kind = "spot" if spot else "on demand"
    rate = per_hour(accelerator, slices, spot, path)
    if math.isnan(rate):
        return f"cost: {path or TABLE.name} has no price of {piece.generation} {kind}; add it, or give --prices=FILE"
    chip = chips(path or TABLE)[piece.generation]
    return (
        f"cost: {what} {kind}, {piece.chips * slices} chips: ${rate:,.2f} an hour, at most ${rate * hours:,.2f} in "
        f"{hours:g} hours (list prices of {chip.region}, {chip.date})"
    )
