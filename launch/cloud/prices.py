"""What a machine costs, from the table of chips (`launch/chips.tsv`) and that of other regions
(`launch/regional_prices.tsv`), which the user may edit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from launch.chips import TABLE, chips
from launch.cloud.accelerators import slice_of
from w2v_jax.errors import UserError
from w2v_jax.tables import read_tsv

REGIONS = TABLE.with_name("regional_prices.tsv")


class Price(NamedTuple):
    """Dollars for one chip for an hour; nan where no table has it."""

    usd: float
    place: str  # region or zone whose list price it is
    date: str
    certain: bool  # it is that of the zone


def regional(path: Path = REGIONS) -> dict[tuple[str, str], tuple[float, float, str]]:
    """(chip, region or zone) -> (on demand, spot, date); nan where it is not known. UserError: a bad line."""
    found = {}
    for line, (chip, place, *usd, date) in list(read_tsv(path, 5))[1:]:
        try:
            demand, spot = (math.nan if text == "-" else float(text) for text in usd)
        except ValueError:
            raise UserError(f"{path}: line {line}: {usd}: must be two prices, or - where one is not known") from None
        found[chip, place] = (demand, spot, date)
    return found


def per_chip(generation: str, spot: bool, zone: str, path: str = "") -> Price:
    """The price in a zone; where it is not known that of the table's region. `path`: the user's own table of chips, in
    which a region of - stands for every one. UserError: a table cannot be read."""
    places = (zone, zone.rpartition("-")[0])
    known = {} if path else regional()
    for place in places:
        *usd, date = known.get((generation, place), (math.nan, math.nan, ""))
        if not math.isnan(usd[spot]):
            return Price(usd[spot], place, date, True)
    chip = chips(path or TABLE).get(generation)
    if chip is None:
        return Price(math.nan, "", "", False)
    return Price(chip.price(spot), chip.region, chip.date, chip.region in (*places, "-"))


def money(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 0.01 else "less than $0.01"


def sentence(
    accelerator: str, slices: int, spot: bool, hours: float, zone: str, path: str = "", later_s: float = 0.0,
    ends: bool = True,
) -> str:  # fmt: skip
    """One line: the price of an hour, and the most that `hours` can cost, with `later_s` seconds until the machine has
    deleted itself; no most where it is not known that it `ends` then. Where the price of the zone is not known it says
    so. `path`: the user's own table of chips."""
    piece = slice_of(accelerator)
    what = f"{slices} x {accelerator}" if slices > 1 else accelerator
    kind = "spot" if spot else "on demand"
    price = per_chip(piece.generation, spot, zone, path)
    if math.isnan(price.usd):
        return f"cost: {path or TABLE.name} has no price of {piece.generation} {kind}; add it, or give --prices=FILE"
    rate = price.usd * piece.chips * slices
    time = f"{hours:.4g} hours" + (f" and {later_s / 60:g} minutes" if later_s else "")
    most = rate * (hours + later_s / 3600)
    bound = "at most " if ends and price.certain and most >= 0.01 else ""
    total = f"{money(rate)} an hour, {bound}{money(most)} in {time}"
    where = f"list prices of {price.place}, {price.date}" if price.place != "-" else f"prices of {path}"
    unsure = "" if price.certain else f"; those of {zone or 'your region'} are not known here, and may be far higher"
    return f"cost: {what} {kind}, {piece.chips * slices} chips: {total} ({where}{unsure})"
