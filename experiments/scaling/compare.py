"""`experiments.scaling --compare=A,B`: two studies beside one another, run by run and law by law."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from w2v_jax.errors import UserError
from w2v_jax.scaling import analysis, records
from w2v_jax.scaling.describe import cell
from w2v_jax.scaling.fitted import Fit, Refusal, Value
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
    studies = [_read(path) for path in paths]
    arms = [arm for arm in studies[0] if arm in studies[1]]
    if not arms:
        names = " and ".join(", ".join(study) for study in studies)
        raise UserError(f"--compare={text}: no arm is in both; they have {names}")
    for arm in arms:
        print(f"{arm}\n{_runs(studies[0][arm], studies[1][arm])}\n\n{_laws(arm, studies)}\n")
    for path, study, other in zip(paths, studies, studies[::-1], strict=True):
        if alone := [arm for arm in study if arm not in other]:
            print(f"only in {path}: {', '.join(alone)}")
    return 0


def _read(path: Path) -> dict[str, list[Record]]:
    files = sorted(path.glob("results*.jsonl")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise UserError(f"--compare: {path}: has no results.jsonl; name the folder of a study or its results")
    found = analysis.by_arm(analysis.usable(records.read(files)))
    if not found:
        raise UserError(f"--compare: {path}: no run is finished")
    return found


def _runs(first: Sequence[Record], second: Sequence[Record]) -> str:
    """Mean losses of the sizes and amounts of text that both have, and whether they differ by more than seeds do."""
    means = [_means(first), _means(second)]
    both = [key for key in means[0] if key in means[1]]
    if not both:
        return f"no size and amount of text is in both ({len(means[0])} and {len(means[1])} of their own)"
    needed = _needed(first, second)
    rows = [["parameters", "tokens", "first", "second", "difference", "beyond the seeds"]]
    for n, d in both:
        (one, count), (two, others) = means[0][n, d], means[1][n, d]
        away = two / one - 1
        said = "not known" if needed is None else _beyond(away, needed * math.sqrt((1 / count + 1 / others) / 2))
        rows.append([f"{n:,}", f"{d:,}", f"{one:.4f}", f"{two:.4f}", f"{away:+.2%}", said])
    return aligned(rows)


def _beyond(away: float, needed: float) -> str:
    return "yes" if abs(away) > needed else "no"


def _needed(first: Sequence[Record], second: Sequence[Record]) -> float | None:
    """The larger of the differences that two single runs need, by either study's seeds; None where neither has any."""
    known = [own.needed for own in (spread(first), spread(second)) if own is not None]
    return max(known, default=None)


def _means(runs: Sequence[Record]) -> Mapping[tuple[int, int], tuple[float, int]]:
    """(geometric mean of the losses, runs) by (parameters, tokens)."""
    logs: dict[tuple[int, int], list[float]] = {}
    for r in runs:
        logs.setdefault((r.parameters, round(r.tokens)), []).append(math.log(r.heldout_loss or math.nan))
    return {key: (math.exp(sum(own) / len(own)), len(own)) for key, own in logs.items()}


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
