"""Lists the gallery, draws its figures from their records, and remakes them by their recipes."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.common import cli
from experiments.common.machine import cores, machine, revision
from experiments.figures import recipe
from experiments.figures.figure import Figure, Result
from w2v_jax.errors import UserError
from w2v_jax.figures import published, records, style
from w2v_jax.tables import aligned

Numbers = Mapping[str, float]

RESULTS = cli.ROOT / "results" / "figures"
PICTURES = cli.ROOT / "docs" / "figures"
_COMMAND = "experiments.figures"
_DAMAGED = (KeyError, TypeError, ValueError, IndexError, AttributeError)  # raised by a result of another shape
_MARKS = (
    "verified: read at that source or in a copy of its table; unverified: quoted from memory, the paper was not at "
    "hand; computed: follows from arithmetic;\nclaimed: said by the notes, and tested here. Ours are in "
    "results/figures/FIGURE.json, the pictures in docs/figures/FIGURE.png."
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
    return f"{aligned(shown, left=(0, 1, 2))}\n\n{aligned(numbers, left=(0, 1, 3, 4, 5, 6))}\n\n{_MARKS}"


def redraw(name: str, figure: Figure, out: str, results: Path = RESULTS) -> int:
    """Draws a figure from its record and prints ours beside the published numbers; 1 after a missed tolerance, else 0.

    UserError, before anything is written: a picture with another ending; a missing or damaged record.
    """
    style.check_ending(out)
    path = results / f"{name}.json"
    record = records.read(path)
    try:
        measured = _draw(name, figure, record, out)
    except _DAMAGED as e:
        raise records.damaged(path, e) from None
    return _report(name, figure, record, measured, out)


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
    """Runs `recipe.make` for a figure, draws it and prints our new numbers beside the published and the recorded ones.

    The picture is RUN/NAME.png by default. With `keep` the result becomes the record, and in the project's own folder
    the picture that of the docs. Returns as `redraw` does, or the exit status of the step that failed.
    UserError: bad input, a missing file, a result that the figure cannot draw.
    """
    out = out or str(run / f"{name}.png")
    style.check_ending(out)
    path = results / f"{name}.json"
    try:
        kept = _measure(figure, records.read(path).result) if path.is_file() else {}
    except _DAMAGED as e:
        raise UserError(f"{path}: cannot be compared with ({records.why(e)}); restore it") from None
    commit = revision()  # of the code that is about to run
    status = recipe.make(figure.recipe, run, data, settings)
    if status:
        return status
    given = ["--run=DIR", *(["--data=DATA"] if data else []), *(f"--set={change}" for change in settings)]
    try:
        record = _record(
            figure, figure.collect(run), shlex.join(["python", "-m", _COMMAND, name, *given]), note, commit
        )
        measured = _draw(name, figure, record, out)
    except _DAMAGED as e:
        raise UserError(f"{run}: cannot be drawn as {name} ({records.why(e)})") from None
    if keep:
        if os.path.isabs(run) and str(run) in json.dumps(record.result):
            raise UserError(f"--run={run}: the results name this path; give a relative one")
        results.mkdir(parents=True, exist_ok=True)
        records.write(path, record)
        if results == RESULTS:
            figure.draw(record.result, str(PICTURES / f"{name}.png"), record.small_print(name))
        print(f"record: {path} ({path.stat().st_size:,} bytes)\n")
    return _report(name, figure, record, measured, out, kept)


def _draw(name: str, figure: Figure, record: records.Record, out: str) -> dict[str, float]:
    measured = _measure(figure, record.result)
    figure.draw(record.result, out, record.small_print(name))
    return measured


def _measure(figure: Figure, result: Result) -> dict[str, float]:
    """Our numbers. Raises one of _DAMAGED: another shape, a number that is missing or not finite."""
    measured = figure.measure(result)
    published.judge(figure.numbers, measured)
    if not all(map(math.isfinite, measured.values())):
        raise ValueError("a number is not finite")
    return measured


def _record(figure: Figure, result: dict[str, Any], command: str, note: str, commit: str) -> records.Record:
    here = machine()
    about = f"{cores(here['cores_used'])} {here['cpu']}, {here['memory_gib']:.0f} GiB, Python {here['python']}"
    about += f", jax {here['versions'].get('jax', 'unknown')}"
    seed = figure.seed if isinstance(figure.seed, int) else list(figure.seed)
    return records.Record(command, figure.data, seed, about, result, note, commit)


def _report(
    name: str, figure: Figure, record: records.Record, measured: Numbers, out: str, kept: Numbers | None = None
) -> int:
    """Prints ours beside the published numbers and `kept` of an earlier record; 1 where a tolerance is missed."""
    verdicts = published.judge(figure.numbers, measured)
    print(f"{name}: {figure.shows}\npaper: {figure.paper}\nours: {'; '.join(record.about())}\n")
    texts = (0, 1, 4, 5, 6) if kept is None else (0, 1, 5, 6, 7)
    print(aligned(published.rows(verdicts, kept), left=texts) if verdicts else "no published number")
    more = {key: published.short(x) for key, x in measured.items() if key not in {n.ours for n in figure.numbers}}
    more |= {key: f"{more[key]} (record {published.short(x)})" for key, x in (kept or {}).items() if key in more}
    if more:
        print("\nmeasured besides: " + "; ".join(f"{key}: {told}" for key, told in more.items()))
    print(f"\npicture: {out}")
    late = published.missed(verdicts)
    for sentence in late:
        print(f"missed: {sentence}")
    return 1 if late else 0
