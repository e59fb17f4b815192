"""`experiments.scaling --grade`: forecasts beside what came."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.files import read_json
from w2v_jax.scaling import records
from w2v_jax.scaling.records import Record
from w2v_jax.tables import aligned

DIGEST = "digest"  # of a forecast's other values; the oldest have none
_TEXTS, _NUMBERS = ("run", "arm", "config_hash"), ("parameters", "tokens", "training_flops", "times")


def digest(forecast: Mapping[str, Any]) -> str:
    """sha256 of everything else in a forecast."""
    rest = {name: value for name, value in forecast.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read(file: Path) -> dict[str, Any]:
    """A forecast. UserError: no such file, or another kind of file."""
    found = read_json(file, "name a file of --forecast")
    if found is None:
        raise UserError(f"--grade={file}: no such file; --forecast writes one")
    targets = found.get("targets")
    if not isinstance(targets, list) or not targets or not all(map(_is_target, targets)):
        why = "a run of it lacks a value, or is forecast outside of its own interval" if targets else "has no runs"
        raise UserError(f"--grade={file}: is no forecast: {why}; take the file that --forecast wrote")
    if not isinstance(found.get("made"), str):
        raise UserError(f"--grade={file}: does not say when it was made; take the file that --forecast wrote")
    if DIGEST in found and found[DIGEST] != digest(found):
        raise UserError(f"--grade={file}: was changed after it was written; take the file that --forecast wrote")
    return found


def _is_target(target: Any) -> bool:
    """Whether it has what a forecast of one run has: its name, sizes, and (value, low, high) of loss, law and tasks."""
    if not isinstance(target, dict) or not isinstance(target.get("tasks", {}), dict):
        return False
    texts = all(isinstance(target.get(name), str) for name in _TEXTS)
    numbers = all(_number(target.get(name)) for name in _NUMBERS)
    losses = all(_interval(target.get(name)) and target[name][0] for name in ("loss", "law"))
    tasks = all(_interval(value) and None not in value for value in target.get("tasks", {}).values())
    return texts and numbers and losses and tasks


def _interval(value: Any) -> bool:
    """A value between two ends; None is free."""
    if not isinstance(value, list) or len(value) != 3 or not all(x is None or _number(x) for x in value):
        return False
    middle, low, high = value
    return middle is None or ((low is None or low <= middle) and (high is None or middle <= high))


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def grade(file: Path, workdir: Path) -> int:
    """Prints every forecast loss beside the one that came; 0 where all are inside their intervals, 1 where one is not.

    UserError: no forecast; a run that is not there, or did not finish, after the table of those that are.
    """
    forecast = read(file)
    if DIGEST not in forecast:
        print(f"{file}: has no {DIGEST}: an edit cannot be seen; the commit is the proof")
    if not workdir.is_dir():
        why = "is a file; name its folder" if workdir.exists() else "no such folder; name that of the study"
        raise UserError(f"--workdir={workdir}: {why}")
    every = records.read(sorted(workdir.glob("results*.jsonl")))
    came = {r.config_hash: r for r in every if r.heldout_loss is not None}
    lossless = {r.config_hash: r for r in every if r.heldout_loss is None}
    rows = [["run", "of the largest fitted", "forecast", "from", "to", "came", "error", "inside"]]
    outside, missing = 0, list[tuple[str, Record | None]]()
    for t in forecast["targets"]:
        record = came.get(t["config_hash"])
        if record is None:
            missing.append((t["run"], lossless.get(t["config_hash"])))
            continue
        row, inside = _graded(t, record)
        rows.append(row)
        outside += not inside
    if graded := len(rows) - 1:
        print(f"forecast of {forecast['made']}, code {forecast.get('code') or 'unknown'}\n{aligned(rows)}")
        print(f"{graded - outside} of {graded} inside")
    outside += _grade_tasks(forecast["targets"], came)
    if missing:
        raise UserError(f"--grade={file}: {_why(missing, workdir)}")
    return int(outside > 0)


def _why(missing: Sequence[tuple[str, Record | None]], workdir: Path) -> str:
    """What is the matter with runs that cannot be graded, and what to do."""
    absent = [name for name, record in missing if record is None]
    ended = [record for _, record in missing if record is not None]
    parts = (
        [f"{len(absent)} run(s) are not in {workdir}, such as {absent[0]}; make them, then grade again"]
        if absent
        else []
    )
    if ended:
        first = ended[0]
        status = "finished without a held-out loss" if first.status == records.FINISHED else first.status
        error = f" ({first.error})" if first.error else ""
        said = f"{len(ended)} run(s) in {workdir} have no loss, such as {first.run}, which {status}{error}"
        parts.append(f"{said}; remove their lines from the results, and the study makes them again")
    return "; ".join(parts)


def _grade_tasks(targets: Sequence[Mapping[str, Any]], came: Mapping[str, Record]) -> int:
    """Prints the forecasts of tasks beside what came, in points; returns how many are outside their intervals."""
    rows, near, outside = [["run", "task", "forecast", "from", "to", "came", "points off", "inside"]], 0, 0
    for t in targets:
        record = came.get(t["config_hash"])
        shares = {} if record is None else record.scores
        for name in (name for name in t.get("tasks", {}) if name in shares):
            value, low, high = t["tasks"][name]
            off, inside = 100 * (value - shares[name]), low <= shares[name] <= high
            near, outside = near + (abs(off) <= 1.0), outside + (not inside)
            numbers = (f"{x:.4f}" for x in (value, low, high, shares[name]))
            rows.append([t["run"], name, *numbers, f"{off:+.1f}", "yes" if inside else "NO"])
    if len(rows) > 1:
        graded = len(rows) - 1
        print(f"{aligned(rows)}\n{graded - outside} of {graded} inside, {near} of {graded} within a point")
    return outside


def _graded(target: Mapping[str, Any], record: Record) -> tuple[list[str], bool]:
    expected, low, high = target["loss"]
    loss = record.heldout_loss or math.nan
    inside = (low is None or low <= loss) and (high is None or loss <= high)
    ends = ["free" if x is None else f"{x:.4f}" for x in (low, high)]
    row = [target["run"], f"{target['times']:.3g} times", f"{expected:.4f}", *ends, f"{loss:.4f}"]
    return [*row, f"{expected / loss - 1:+.2%}", "yes" if inside else "NO"], inside
