"""Lists the gallery, draws its figures from their records, and makes them anew by their recipes."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.common import cli
from experiments.common.machine import machine
from experiments.figures import recipe
from experiments.figures.figure import DAMAGED, Figure, Result
from w2v_jax.errors import UserError
from w2v_jax.evaluation.tables import aligned
from w2v_jax.figures import published, records, style
from w2v_jax.files import PathLike

RESULTS = cli.ROOT / "results" / "figures"
PICTURES = cli.ROOT / "docs" / "figures"

_MARKS = (
    "verified: read at that source; unverified: quoted from memory, the paper was not at hand; computed: follows from "
    "arithmetic;\nclaimed: said by the notes, and tested here. Ours are in results/figures/FIGURE.json, "
    "the pictures in docs/figures/FIGURE.png."
)


def listing(figures: Mapping[str, Figure]) -> str:
    """Every figure with its paper, then every published number; as text."""
    shown = [["figure", "paper", "shows"]]
    shown += [[name, figure.paper, figure.shows] for name, figure in figures.items()]
    numbers = [["figure", "number", "published", "unit", "checked", "tolerance", "source"]]
    for name, figure in figures.items():
        for n in figure.numbers:
            tolerance = n.tolerance.words() if n.tolerance else "none stated"
            numbers.append([name, n.what, published.short(n.value), n.unit, n.checked, tolerance, n.source])
        if not figure.numbers:
            numbers.append([name, "none"])
    left = (0, 1, 3, 4, 5, 6)
    return f"{aligned(shown, left=(0, 1, 2))}\n\n{aligned(numbers, left=left)}\n\n{_MARKS}"


def redraw(name: str, figure: Figure, out: str, results: Path = RESULTS) -> int:
    """Draws a figure from its record and prints ours beside what was published.

    Args:
      name: of the figure.
      figure: its file.
      out: picture, .png, .pdf or .svg.
      results: folder of the records.

    Returns:
      0, or 1 where a stated tolerance is missed.

    Raises:
      UserError: a picture with another ending; a record that is missing or damaged. Nothing is written then.
      OSError: the picture cannot be written.
    """
    style.check_ending(out)
    path = results / f"{name}.json"
    record = records.read(path)
    try:
        measured = _measure(figure, record.result)
        figure.draw(record.result, out, record.small_print(name))
    except DAMAGED as e:
        raise records.damaged(path, e) from None
    return report(name, figure, record, measured, out)


def remake(
    name: str,
    figure: Figure,
    run: Path,
    *,
    data: str | None = None,
    settings: Sequence[str] = (),
    out: str | None = None,
    results: Path = RESULTS,
    keep: bool = False,
    note: str = "",
) -> int:
    """Makes the recipe of a figure, draws RUN/NAME.png and prints our new numbers beside the published and the kept.

    Args:
      name, figure: as in `redraw`.
      run: folder of all that the recipe makes; the same call continues what was interrupted.
      data: folder of the files that the recipe needs.
      settings: KEY=VALUE of --set, for the steps that take them.
      out: the picture; RUN/NAME.png by default.
      results: folder of the records.
      keep: whether the result becomes the record, and the picture that of the docs where the record is the project's.
      note: what else has to be known of the record.

    Returns:
      0, 1 where a stated tolerance is missed, or the exit status of the step that failed.

    Raises:
      UserError: bad input, a missing file, a result that the figure cannot draw. OSError: a file cannot be written.
    """
    out = out or str(run / f"{name}.png")
    style.check_ending(out)
    path = results / f"{name}.json"
    kept = _measure(figure, records.read(path).result) if path.is_file() else {}
    status = recipe.make(figure.recipe, run, data, settings)
    if status:
        return status
    try:
        result = figure.collect(run)
        measured = _measure(figure, result)
        record = _record(name, figure, result, settings, bool(data), note)
        figure.draw(result, out, record.small_print(name))
    except DAMAGED as e:
        raise UserError(f"{run}: cannot be drawn as {name} ({records.why(e)})") from None
    if keep:
        if os.path.isabs(run) and str(run) in json.dumps(result):
            raise UserError(f"--run={run}: the results name this path; give a relative one")
        results.mkdir(parents=True, exist_ok=True)
        records.write(path, record)
        if results == RESULTS:
            figure.draw(result, PICTURES / f"{name}.png", record.small_print(name))
    status = report(name, figure, record, measured, out, kept)
    if keep:
        print(f"record: {path} ({path.stat().st_size:,} bytes)")
    return status


def _measure(figure: Figure, result: Result) -> dict[str, float]:
    """Our numbers. One of DAMAGED: the result has another shape, or a number is not finite or missing."""
    measured = figure.measure(result)
    published.judge(figure.numbers, measured)
    if not all(map(math.isfinite, measured.values())):
        raise ValueError("a number is not finite")
    return measured


def _record(
    name: str, figure: Figure, result: dict[str, Any], settings: Sequence[str], data: bool, note: str
) -> records.Record:
    from experiments.scaling.runs import revision

    here = machine()
    about = f"{here['cores_used']} cores {here['cpu']}, {here['memory_gib']:.0f} GiB, Python {here['python']}"
    line = ["python", "-m", "experiments.figures", name, "--run=DIR", *["--data=DATA"] * data]
    return records.Record(
        command=shlex.join([*line, *(f"--set={change}" for change in settings)]),
        data=figure.data,
        seed=figure.seed if isinstance(figure.seed, int) else list(figure.seed),
        machine=f"{about}, jax {here['versions'].get('jax', 'unknown')}",
        result=result,
        note=note,
        commit=revision(),
    )


def report(
    name: str,
    figure: Figure,
    record: records.Record,
    measured: Mapping[str, float],
    out: PathLike,
    kept: Mapping[str, float] | None = None,
) -> int:
    """Prints what is shown, from what, ours beside what was published, and what else was measured.

    Args:
      name, figure: what is shown.
      record: where ours are from.
      measured: ours.
      out: the picture.
      kept: the numbers of the record that there was before, in a column of their own.

    Returns:
      0, or 1 where a stated tolerance is missed.
    """
    verdicts = published.judge(figure.numbers, measured)
    print(f"{name}: {figure.shows}\npaper: {figure.paper}\nours: {'; '.join(record.about())}\n")
    texts = (0, 1, 4, 5, 6) if kept is None else (0, 1, 5, 6, 7)
    print(aligned(published.rows(verdicts, kept), left=texts) if verdicts else "no published number")
    beside = {number.ours for number in figure.numbers}
    more = [
        f"{key}: {published.short(value)}" + (f" (record {published.short(kept[key])})" if kept and key in kept else "")
        for key, value in measured.items()
        if key not in beside
    ]
    if more:
        print("\nmeasured besides: " + "; ".join(more))
    print(f"\npicture: {out}")
    late = published.missed(verdicts)
    for sentence in late:
        print(f"missed: {sentence}")
    return 1 if late else 0
