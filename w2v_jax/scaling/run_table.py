"""Reads the runs to fit from a .csv or .jsonl file: parameters, tokens or FLOPs, loss."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.errors import UserError, nearest
from w2v_jax.scaling.isoflop import FLOPS_A_TOKEN
from w2v_jax.tables import read_lines

# What is read -> the names it may have, the first that a file has is taken.
COLUMNS: dict[str, tuple[str, ...]] = {
    "parameters": ("parameters",),
    "tokens": ("tokens",),
    "flops": ("training_flops", "training_flop"),
    "loss": ("heldout_loss", "loss"),
}
STATUS, FINISHED = "status", "finished"
ARM = "arm"  # the line of a study that a run belongs to; a law is of one


class Runs(NamedTuple):
    """Float64 arrays [n] in the order of the file, and what was done to get them."""

    parameters: np.ndarray
    tokens: np.ndarray
    flops: np.ndarray
    loss: np.ndarray
    unfinished: int  # runs left out because their status is not "finished"
    dropped: int  # runs left out for their few tokens a parameter
    notes: tuple[str, ...]


def read_arms(path: str | os.PathLike[str]) -> list[str]:
    """The arms of a table's finished runs, as they come; [] without such a column. UserError: as `read_table`."""
    done = (row for _, row in _rows(os.fspath(path)) if row.get(STATUS, FINISHED) == FINISHED)
    return list(dict.fromkeys(str(row[ARM]) for row in done if ARM in row))


def read_table(
    path: str | os.PathLike[str], *, drop_fewest_tokens_per_parameter: int = 0, arm: str | None = None
) -> Runs:
    """The runs of a table with columns parameters, tokens or training_flops (or training_flop), heldout_loss or loss.

    Where tokens are missing they are FLOPs / (6 parameters), and the other way round; `notes` says so. A run with a
    status other than "finished" is left out and counted. Other columns are not looked at.

    Args:
      path: .csv with a header line, or .jsonl with an object a line.
      drop_fewest_tokens_per_parameter: this many runs are left out: those of the fewest tokens a parameter. The
        fit of Besiroglu et al. 2024 (arXiv 2404.10102) drops five.
      arm: only runs whose column "arm" says so; None takes all.

    Raises:
      UserError: naming file, line and column: a missing, empty or unreadable file, a missing or doubled column, a
        value that is not a positive number, no run left.
    """
    path = os.fspath(path)
    rows, unfinished = [], 0
    for number, row in _rows(path):
        if arm is not None and str(row.get(ARM)) != arm:
            continue
        if row.get(STATUS, FINISHED) != FINISHED:
            unfinished += 1
        else:
            rows.append(_numbers(f"{path}: line {number:,}", row))
    if not rows:
        left = f"; {unfinished} run(s) have another status than {FINISHED!r}" if unfinished else ""
        raise UserError(f"{path}: no run to fit{left}")
    return _columns(path, rows, unfinished, drop_fewest_tokens_per_parameter)


def _rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, values by column) of each run."""
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    ending = os.path.splitext(path)[1].lower()
    if ending not in readers:
        raise UserError(f"{path}: a table of runs must end in {' or '.join(readers)}")
    return readers[ending](path)


def _columns(path: str, rows: list[dict[str, float]], unfinished: int, drop: int) -> Runs:
    n = np.array([row["parameters"] for row in rows])
    notes = [f"{unfinished} run(s) left out: status is not {FINISHED!r}"] if unfinished else []
    lack = {key: np.array([key not in row for row in rows]) for key in ("tokens", "flops")}
    d = np.array(
        [row["tokens"] if "tokens" in row else row["flops"] / (FLOPS_A_TOKEN * row["parameters"]) for row in rows]
    )
    c = np.array(
        [row["flops"] if "flops" in row else FLOPS_A_TOKEN * row["parameters"] * row["tokens"] for row in rows]
    )
    if lack["tokens"].any():
        notes.append(f"tokens of {lack['tokens'].sum()} run(s) are FLOPs / (6 parameters): the table has none")
    if lack["flops"].any():
        notes.append(f"FLOPs of {lack['flops'].sum()} run(s) are 6 parameters tokens: the table has none")
    if not 0 <= drop < len(rows):
        raise UserError(f"{path}: cannot drop {drop} of {len(rows)} runs; give a number from 0 to {len(rows) - 1}")
    keep = np.sort(np.argsort(d / n, kind="stable")[drop:])
    if drop:
        notes.append(f"{drop} run(s) of the fewest tokens a parameter left out, up to {np.sort(d / n)[drop - 1]:.3g}")
    loss = np.array([row["loss"] for row in rows])
    return Runs(n[keep], d[keep], c[keep], loss[keep], unfinished, drop, tuple(notes))


def _csv_rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    header: list[str] = []
    for number, line in read_lines(path):
        fields = [field.strip() for field in next(csv.reader([line]))]
        if not header:
            header = [field.removeprefix("\ufeff") for field in fields]
            _check_header(path, number, header)
            continue
        if len(fields) != len(header):
            raise UserError(
                f"{path}: line {number:,}: {len(fields)} fields, the header has {len(header)}; mend the line"
            )
        # An empty field is a missing value, as a key that a line of .jsonl lacks.
        yield number, {name: field for name, field in zip(header, fields, strict=True) if field}


def _check_header(path: str, number: int, header: list[str]) -> None:
    for name in header:
        if header.count(name) > 1:
            raise UserError(f"{path}: line {number:,}: column {name!r} appears twice; remove one")
    _check_known(f"{path}: line {number:,}", header)


def _check_known(where: str, names: list[str]) -> None:
    """UserError unless every quantity has a column."""
    for wanted in (COLUMNS["parameters"], COLUMNS["tokens"] + COLUMNS["flops"], COLUMNS["loss"]):
        if not set(wanted) & set(names):
            close = next((hint for hint in (nearest(w, names) for w in wanted) if hint), "")
            close = close.replace("did you mean", "is it").replace("?", "? then rename it")
            raise UserError(f"{where}: no column {' or '.join(repr(w) for w in wanted)}{close}; add one")


def _json_rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in read_lines(path):
        where = f"{path}: line {number:,}"
        doubled: list[str] = []

        def collect(pairs: list[tuple[str, Any]], doubled: list[str] = doubled) -> dict[str, Any]:
            keys = [key for key, _ in pairs]
            doubled += [key for key in keys if keys.count(key) > 1]
            return dict(pairs)

        try:
            row = json.loads(line.removeprefix("\ufeff"), object_pairs_hook=collect)
        except ValueError:
            raise UserError(
                f'{where}: not JSON; every line must be an object like {{"parameters": 1000, ...}}'
            ) from None
        if not isinstance(row, dict):
            raise UserError(f'{where}: not an object; every line must be like {{"parameters": 1000, ...}}')
        known = {name for names in COLUMNS.values() for name in names}
        if known & set(doubled):
            raise UserError(f"{where}: column {min(known & set(doubled))!r} appears twice; remove one")
        yield number, {key: value for key, value in row.items() if value is not None}


def _numbers(where: str, row: Mapping[str, Any]) -> dict[str, float]:
    _check_known(where, list(row))
    found = {}
    for key, names in COLUMNS.items():
        name = next((n for n in names if n in row), None)
        if name is not None:
            found[key] = _positive(f"{where}: column {name!r}", row[name])
    return found


def _positive(where: str, value: Any) -> float:
    try:
        number = float("x" if isinstance(value, bool | list | dict) else value)
    except (ValueError, OverflowError):
        raise UserError(f"{where}: {str(value)[:40]!r} is not a number; mend or remove the line") from None
    if not (math.isfinite(number) and number > 0):
        raise UserError(f"{where}: {value} is not a positive number; mend or remove the line")
    return number
