"""Lists the figures of `experiments.entries`, and draws them again from their records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from experiments.common import cli
from experiments.figures import rebuild
from experiments.figures.entries import ENTRIES, Entry
from w2v_jax.figures import published, records, style
from w2v_jax.tables import aligned

RESULTS = cli.ROOT / "results" / "figures"
PICTURES = cli.ROOT / "docs" / "figures"


def listing(entries: Mapping[str, Entry] = ENTRIES) -> str:
    """Every figure with its paper, then every published number; as text."""
    figures = [["figure", "paper", "shows"]]
    figures += [[name, entry.source(), entry.shows] for name, entry in entries.items()]
    numbers = [["figure", "number", "published", "unit", "checked", "tolerance", "source"]]
    for name, entry in entries.items():
        for n in entry.numbers:
            tolerance = n.tolerance.words() if n.tolerance else "none stated"
            numbers.append([name, n.what, published.short(n.value), n.unit, n.checked, tolerance, n.source])
        if not entry.numbers:
            numbers.append([name, "none"])
    left = (0, 1, 3, 4, 5, 6)
    return f"{aligned(figures, left=(0, 1, 2))}\n\n{aligned(numbers, left=left)}\n\n{_MARKS}"


_MARKS = (
    "verified: read at that source; unverified: quoted from memory, the paper was not at hand; computed: follows from "
    "arithmetic;\nclaimed: said by the notes, and tested here. Ours are in results/figures/FIGURE.json, "
    "the pictures in docs/figures/FIGURE.png."
)


def redraw(name: str, out: str, results: Path = RESULTS, entries: Mapping[str, Entry] = ENTRIES) -> int:
    """Draws a figure from its record, prints ours beside what was published, and returns the exit status.

    Args:
      name: of an entry.
      out: picture, .png, .pdf or .svg.
      results: folder of the records.

    Returns:
      0, or 1 where a stated tolerance is missed.

    Raises:
      UserError: a picture with another ending; a record that is missing or damaged. Nothing is written then.
      OSError: the picture cannot be written.
    """
    style.check_ending(out)
    entry, path = entries[name], results / f"{name}.json"
    record = records.read(path)
    try:
        figure = entry.load(record.result)
        verdicts = published.judge(entry.numbers, figure.measured)
        if not all(map(math.isfinite, figure.measured.values())):
            raise ValueError("a number is not finite")
    except rebuild.DAMAGED as e:
        raise records.damaged(path, e) from None
    figure.draw(out, record.small_print(name))
    print(report(name, entry, record, figure.measured))
    print(f"\npicture: {out}")
    late = published.missed(verdicts)
    for sentence in late:
        print(f"missed: {sentence}")
    return 1 if late else 0


def report(name: str, entry: Entry, record: records.Record, measured: Mapping[str, float]) -> str:
    """What is shown, from what, ours beside what was published, and what else was measured, as text."""
    rows = published.rows(published.judge(entry.numbers, measured))
    table = aligned(rows, left=(0, 1, 4, 5, 6)) if entry.numbers else "no published number"
    beside = {number.ours for number in entry.numbers}
    more = [f"{key}: {published.short(value)}" for key, value in measured.items() if key not in beside]
    about = "; ".join(record.about())
    lines = [f"{name}: {entry.shows}", f"paper: {entry.source()}", f"ours: {about}", "", table]
    return "\n".join([*lines, *(["", "measured besides: " + "; ".join(more)] if more else [])])
