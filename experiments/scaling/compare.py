"""`experiments.scaling --compare=A,B`: two studies beside one another, run by run and law by law."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.scaling import analysis, records
from w2v_jax.scaling.cells import cells
from w2v_jax.scaling.describe import cell
from w2v_jax.scaling.fitted import Fit, Refusal, Value
from w2v_jax.scaling.left_out import LeftOut, counts, left_out, warning
from w2v_jax.scaling.records import Record
from w2v_jax.scaling.trust import spread
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned

_NAMES = ("E", "A", "B", "alpha", "beta", "a")


def compare(text: str) -> int:
    """Prints the runs that both studies made, and the laws of each arm; returns the exit status.

    `text` is two folders, or results files, with a comma between. UserError: not two; no results; no arm in common.
    """
    paths = [to_path(part) for part in text.split(",") if part]
    if len(paths) != 2:
        raise UserError(f"--compare={text}: must be two folders of studies, or results.jsonl files, as A,B")
    read = [_read(path) for path in paths]
    studies = [kept for kept, _ in read]
    arms = [arm for arm in studies[0] if arm in studies[1]]
    if not arms:
        names = " and ".join(", ".join(study) for study in studies)
        raise UserError(f"--compare={text}: no arm is in both; they have {names}")
    for arm in arms:
        print(f"{arm}\n{_runs(studies[0][arm], studies[1][arm])}\n\n{_laws(arm, studies)}\n")
        for path, (_, every) in zip(paths, read, strict=True):
            _print_left_out(arm, path, left_out(every[arm]))
    for path, study, other in zip(paths, studies, studies[::-1], strict=True):
        if alone := [arm for arm in study if arm not in other]:
            print(f"only in {path}: {', '.join(alone)}")
    return 0


def _read(path: Path) -> tuple[dict[str, list[Record]], dict[str, list[Record]]]:
    """The usable runs of a study by arm, and all of them."""
    files = sorted(path.glob("results*.jsonl")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise UserError(f"--compare: {path}: has no results.jsonl; name the folder of a study or its results")
    every = records.read(files)
    found = analysis.by_arm(analysis.usable(every))
    if not found:
        raise UserError(f"--compare: {path}: no run is finished")
    return found, analysis.by_arm(every)


def _print_left_out(arm: str, path: Path, left: LeftOut) -> None:
    """Runs of the arm that the laws do not have; of those, the means have the ones on the plateau."""
    if said := counts(left):
        print(f"{arm} of {path}: left out of the laws: {'; '.join(said)}")
    if (doubt := warning(left)) is not None:
        print(f"warning: {arm} of {path}: {doubt}")


def _runs(first: Sequence[Record], second: Sequence[Record]) -> str:
    """Mean losses of the sizes and amounts of text that both have, and whether they differ by more than seeds do.

    Amounts of text that differ by whole steps, or by the words that a seed draws, are one (`cells`).
    """
    runs = [*first, *second]
    cell = cells(np.array([(r.parameters, r.tokens) for r in runs], np.float64))
    means = _means(runs[: len(first)], cell[: len(first)]), _means(runs[len(first) :], cell[len(first) :])
    both = sorted(means[0].keys() & means[1].keys(), key=lambda key: means[0][key][:2])
    alone = [len(own) - len(both) for own in means]
    if not both:
        return f"no size and amount of text is in both ({alone[0]} and {alone[1]} of their own)"
    needed = _needed(first, second)
    rows = [["parameters", "tokens", "first", "second", "difference", "beyond the seeds"]]
    for key in both:
        (n, d, one, count), (_, _, two, others) = means[0][key], means[1][key]
        away = two / one - 1
        said = "not known" if needed is None else _beyond(away, needed * math.sqrt((1 / count + 1 / others) / 2))
        rows.append([f"{n:,}", f"{d:,.0f}", f"{one:.4f}", f"{two:.4f}", f"{away:+.2%}", said])
    rest = f"\nsizes and amounts of text in one alone: {alone[0]} of the first, {alone[1]} of the second"
    return aligned(rows) + (rest if any(alone) else "")


def _beyond(away: float, needed: float) -> str:
    return "yes" if abs(away) > needed else "no"


def _needed(first: Sequence[Record], second: Sequence[Record]) -> float | None:
    """The larger of the differences that two single runs need, by either study's seeds; None where neither has any."""
    known = [own.needed for own in (spread(first), spread(second)) if own is not None]
    return max(known, default=None)


def _means(runs: Sequence[Record], cell: np.ndarray) -> dict[int, tuple[int, float, float, int]]:
    """(parameters, mean tokens, geometric mean of the losses, runs) by cell."""
    found = {}
    for key in np.unique(cell).tolist():
        own = [r for r, c in zip(runs, cell.tolist(), strict=True) if c == key]
        loss = math.exp(sum(math.log(r.heldout_loss or math.nan) for r in own) / len(own))
        found[key] = own[0].parameters, sum(r.tokens for r in own) / len(own), loss, len(own)
    return found


def _laws(arm: str, studies: Sequence[Mapping[str, list[Record]]]) -> str:
    rows = [["", "first", "second", "intervals"]]
    fits = [analysis.laws(arm, study[arm]).parametric for study in studies]
    for label, fit in zip(("first", "second"), fits, strict=True):
        if isinstance(fit, Refusal):
            return f"law of N and D: the {label} is not fitted: {fit.reason}"
    one, two = (fit.values for fit in fits if isinstance(fit, Fit))
    for name in _NAMES:
        rows.append([name, cell(one[name]), cell(two[name]), "overlap" if _overlap(one[name], two[name]) else "APART"])
    return aligned(rows)


def _overlap(one: Value, two: Value) -> bool:
    return one.low <= two.high and two.low <= one.high
