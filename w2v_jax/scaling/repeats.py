"""Which rows of a table are one run, and which run of several counts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.scaling.table_rows import COLUMNS, SEED

FARTHEST = 1e9  # factor
Keyed = tuple[tuple[Any, Any], dict[str, float]]  # ((name, config's hash), numbers) of a row


def check_one_loss(found: Sequence[tuple[str, str]]) -> None:
    """UserError: rows (place, column of the loss) have it in columns of two names, which may be two quantities."""
    first = min((name for _, name in found), key=COLUMNS["loss"].index)
    place, other = next(((place, name) for place, name in found if name != first), ("", ""))
    if place:
        mend = "fill the cell, remove the line, or keep one of the two columns"
        raise UserError(f"{place}: no {first!r}, which other rows have, and {other!r} may be another loss; {mend}")


def check_spread(found: Sequence[tuple[str, dict[str, float]]]) -> None:
    """UserError: a number of a row (place, numbers) is so far from the middle of its column that powers overflow."""
    for key, names in COLUMNS.items():
        cells = [(place, row[key]) for place, row in found if key in row]
        middle = statistics.median_low([value for _, value in cells]) if cells else 1.0
        for place, value in cells:
            if not middle / FARTHEST <= value <= middle * FARTHEST:
                far = f"{value:g} is more than {FARTHEST:g} times from {middle:g}, the middle of the column"
                raise UserError(f"{place}: column {' or '.join(map(repr, names))}: {far}; mend or remove the line")


def once(every: Sequence[Keyed]) -> tuple[list[dict[str, float]], list[str]]:
    """(the rows less repeats, notes): of a run the last, as in a study; see `_identity`."""
    notes = []
    last = {_identity(key, row): (key, row) for key, row in every}
    if len(last) < len(every):
        notes.append(f"{len(every) - len(last)} row(s) repeat a run, and count once")
    bare = ((key, row) for key, row in every if key[0] is not None and key[1] is None)
    if moved := [key[0] for key, row in bare if row["loss"] != last[_identity(key, row)][1]["loss"]]:
        why = f"such as {moved[0]}, have another loss than the last row of their name and sizes, which counts"
        notes.append(f"warning: {len(moved)} of them, {why}: are they other seeds? then give each a name of its own")
    names = [str(name) for (name, config), _ in last.values() if name is not None and config is not None]
    if several := sorted({name for name in names if names.count(name) > 1}):
        why = f"such as {several[0]}, have several configs, and each counts: are two studies in one file?"
        notes.append(f"warning: {len(several)} name(s), {why}")
    return [row for _, row in last.values()], notes


def _identity(key: tuple[Any, Any], row: dict[str, float]) -> tuple[Any, ...]:
    """What tells a run: its name and config; without a config its name and sizes; without a name all of its numbers."""
    name, config = key
    if name is None:
        return tuple(sorted(row.items()))
    sizes = (row.get(size) for size in COLUMNS if size != "loss")
    return (str(name), str(config)) if config is not None else (str(name), *sizes)


def lowest(rows: Sequence[dict[str, float]]) -> tuple[list[dict[str, float]], str]:
    """(the row of the lowest loss of each size, amount of text and seed, in the order of their first rows; a note)."""
    found: dict[tuple[float | None, ...], dict[str, float]] = {}
    for row in rows:
        key = row["parameters"], row.get("tokens"), row.get("flops"), row.get(SEED)
        if key not in found or row["loss"] < found[key]["loss"]:
            found[key] = row
    seeded = any(SEED in row for row in rows)
    equal = "parameters, tokens and seed" if seeded else "parameters and tokens"
    why = "" if seeded else f"; no column {SEED!r} tells seeds, of which the luckiest would count"
    return list(
        found.values()
    ), f"{len(rows) - len(found)} run(s) left out: another of equal {equal} has a lower loss{why}"
