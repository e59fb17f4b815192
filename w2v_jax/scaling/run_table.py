"""Reads the runs to fit from a .csv or .jsonl file: parameters, tokens or FLOPs, loss."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.errors import UserError, nearest
from w2v_jax.files import parse_json
from w2v_jax.scaling.isoflop import FLOPS_A_TOKEN
from w2v_jax.scaling.plateau import RULE, Score, on_plateau
from w2v_jax.scaling.where import Condition, check_columns
from w2v_jax.tables import read_lines
from w2v_jax.unpack import READ

# Names that the column of each quantity may have; the first that a file has counts.
COLUMNS: dict[str, tuple[str, ...]] = {
    "parameters": ("parameters",),
    "tokens": ("tokens",),
    "flops": ("training_flops", "training_flop"),
    "loss": ("heldout_loss", "loss"),
}
STATUS, FINISHED = "status", "finished"
ARM = "arm"  # of a study; a law is fitted to the runs of one
RUN = "run"  # name of a run within its study
VOCABULARY = "vocabulary"
HASH = "config_hash"  # two configs are two runs, even of one name
SCORES = ("heldout_accuracy", "heldout_unigram_loss", "heldout_unigram_accuracy")  # for `plateau`
PER_TOKEN = "flops_per_token"  # stated by studies: word vectors are far from 6 N
FAR = 10.0  # FLOPs beyond this multiple of 6 N D, or its inverse, are taken for another unit
LARGEST_VOCABULARY = 1e6  # where the table states none
_READ = {STATUS, ARM, RUN, HASH, VOCABULARY, PER_TOKEN, *SCORES}.union(*COLUMNS.values())
_ENDINGS = (".csv", ".jsonl")  # with or without that of a packed file, such as .csv.xz


class Runs(NamedTuple):
    """Float64 arrays [n] in the order of the file, and notes on how they were completed."""

    parameters: np.ndarray
    tokens: np.ndarray
    flops: np.ndarray
    loss: np.ndarray
    notes: tuple[str, ...]


def read_arms(path: str | os.PathLike[str], where: Sequence[Condition] = ()) -> list[str]:
    """The arms of a table's finished runs in order; [] without that column. UserError: as `read_table`."""
    done = (row for _, row in _rows(os.fspath(path), where) if row.get(STATUS, FINISHED) == FINISHED)
    return list(dict.fromkeys(str(row[ARM]) for row in done if ARM in row))


def read_table(
    path: str | os.PathLike[str],
    *,
    drop_fewest_tokens_per_parameter: int = 0,
    arm: str | None = None,
    where: Sequence[Condition] = (),
    repeats: bool = False,
    best: bool = False,
) -> Runs:
    """The runs of a table with columns parameters, tokens or training_flops (or training_flop), heldout_loss or loss.

    Missing tokens are FLOPs / (6 parameters), missing FLOPs 6 parameters tokens. Runs with a status other than
    "finished" are left out. A run that is there twice, by its name in the column "run" or by all of its numbers, counts
    once: repeats would narrow every interval; a name with two configs (column "config_hash") is two runs. Runs on the
    plateau of single words are left out, see `plateau`. `notes` says all this, and what looks like another unit: FLOPs
    far from 6 N D (or from the column "flops_per_token"), a loss above the logarithm of the vocabulary (column
    "vocabulary"; otherwise of a million tokens). Of an export from Weights & Biases, which has the columns Name and
    State, State and Group are read as status and arm, and Name as run where there is a config_hash, as in a study's
    runs.csv. Other columns are ignored.

    Args:
      path: .csv with a header line, or .jsonl with one object per line; also packed, such as .csv.xz.
      drop_fewest_tokens_per_parameter: number of runs to leave out; Besiroglu et al. 2024 (arXiv 2404.10102) drop five.
      arm: only runs with this value in the column "arm"; None takes all.
      where: conditions that the rows must hold; others are left out.
      repeats: count rows that repeat a run, as some published fits do.
      best: of runs of equal parameters and tokens, take the one of the lowest loss, as after a search for rates.

    Raises:
      UserError: naming file, line and column: a missing, empty or unreadable file, a missing or doubled column, a
        value that is not a positive number, no run left.
    """
    path = os.fspath(path)
    rows, unfinished = list[tuple[tuple[Any, Any], dict[str, float]]](), 0
    for place, row in _rows(path, where):
        if arm is not None and str(row.get(ARM)) != arm:
            continue
        if row.get(STATUS, FINISHED) != FINISHED:
            unfinished += 1
            continue
        rows.append(((row.get(RUN), row.get(HASH)), _numbers(place, row)))
    if not rows:
        left = f"; {unfinished} run(s) have another status than {FINISHED!r}" if unfinished else ""
        left += "; no other row holds the conditions of --where" if where else ""
        raise UserError(f"{path}: no run to fit{left}")
    notes = [f"{unfinished} run(s) left out: status is not {FINISHED!r}"] if unfinished else []
    once = [row for _, row in rows] if repeats else _once(rows, notes)
    flat = on_plateau([Score(row["loss"], *(row.get(name) for name in SCORES)) for row in once])
    if any(flat):
        notes.append(f"{sum(flat)} run(s) left out, {RULE}")
        once = [row for row, out in zip(once, flat, strict=True) if not out]
    if not once:
        raise UserError(f"{path}: no run to fit; all of them are on the plateau of single words")
    if best:
        tried, once = len(once), _lowest(once)
        notes.append(f"{tried - len(once)} run(s) left out: another of equal parameters and tokens has a lower loss")
    notes += _odd_units(once)
    return _columns(path, once, notes, drop_fewest_tokens_per_parameter)


def read_columns(
    path: str | os.PathLike[str], names: Sequence[str], where: Sequence[Condition] = ()
) -> dict[str, np.ndarray]:
    """Columns of positive numbers, float64 [n] each, of the rows that hold the conditions and have all of them.

    UserError: as `read_table`, for any table; no row left; no column of that name.
    """
    path, rows = os.fspath(path), list[list[float]]()
    for place, row in _rows(path, where, names):
        if all(name in row for name in names):
            rows.append([_positive(f"{place}: column {name!r}", row[name]) for name in names])
    if not rows:
        raise UserError(f"{path}: no row has {' and '.join(names)}{' and holds --where' if where else ''}")
    return dict(zip(names, np.array(rows).T, strict=True))


def _once(rows: Sequence[tuple[tuple[Any, Any], dict[str, float]]], notes: list[str]) -> list[dict[str, float]]:
    """The rows less repeats: of a name and config the last, as in a study; then of rows equal in every number one.

    `rows` are ((name, config's hash), numbers); adds to the notes.
    """
    last = {str(key) if key[0] is not None else i: (key, row) for i, (key, row) in enumerate(rows)}
    once = list({tuple(sorted(row.items())): row for _, row in last.values()}.values())
    if len(once) < len(rows):
        notes.append(f"{len(rows) - len(once)} row(s) repeat a run, and count once")
    names = [name for (name, _), _ in last.values() if name is not None]
    if several := sorted({str(name) for name in names if names.count(name) > 1}):
        why = f"such as {several[0]}, have several configs, and each counts: are two studies in one file?"
        notes.append(f"warning: {len(several)} name(s), {why}")
    return once


def _lowest(rows: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The row of the lowest loss of each size and amount of text, in the order of the sizes' first rows."""
    lowest: dict[tuple[float | None, ...], dict[str, float]] = {}
    for row in rows:
        key = row["parameters"], row.get("tokens"), row.get("flops")
        if key not in lowest or row["loss"] < lowest[key]["loss"]:
            lowest[key] = row
    return list(lowest.values())


def _odd_units(rows: Sequence[dict[str, float]]) -> list[str]:
    """Notes on numbers that cannot be FLOPs, tokens and nats a token."""
    notes = []
    full = [row for row in rows if "flops" in row and "tokens" in row]
    per_token = [row.get(PER_TOKEN, FLOPS_A_TOKEN * row["parameters"]) for row in full]
    ratios = [row["flops"] / (each * row["tokens"]) for each, row in zip(per_token, full, strict=True)]
    far = [r for r in ratios if not 1 / FAR <= r <= FAR]
    if far:
        notes.append(
            f"warning: FLOPs of {len(far)} run(s) are {far[0]:.3g} times 6 parameters tokens: are parameters, tokens "
            "and FLOPs in units, not in millions or billions?"
        )
    limits = [math.log(row.get(VOCABULARY, LARGEST_VOCABULARY)) for row in rows]
    above = [(row["loss"], limit) for row, limit in zip(rows, limits, strict=True) if row["loss"] > limit]
    if above:
        loss, limit = above[0]
        notes.append(
            f"warning: the loss of {len(above)} run(s), such as {loss:.4g}, is above {limit:.3g}, the logarithm of the "
            "vocabulary: is it in nats a token, not a perplexity?"
        )
    return notes


def _columns(path: str, rows: Sequence[dict[str, float]], notes: list[str], drop: int) -> Runs:
    n, d, c, loss = (np.array([row.get(key, np.nan) for row in rows]) for key in COLUMNS)
    if missing := int(np.isnan(d).sum()):
        notes.append(f"tokens of {missing} run(s) are FLOPs / (6 parameters): the table has none")
    if missing := int(np.isnan(c).sum()):
        notes.append(f"FLOPs of {missing} run(s) are 6 parameters tokens: the table has none")
    d, c = np.where(np.isnan(d), c / (FLOPS_A_TOKEN * n), d), np.where(np.isnan(c), FLOPS_A_TOKEN * n * d, c)
    if not 0 <= drop < len(rows):
        raise UserError(f"{path}: cannot drop {drop} of {len(rows)} runs; give a number from 0 to {len(rows) - 1}")
    keep = np.sort(np.argsort(d / n, kind="stable")[drop:])
    if drop:
        notes.append(f"{drop} run(s) of the fewest tokens a parameter left out, up to {np.sort(d / n)[drop - 1]:.3g}")
    return Runs(n[keep], d[keep], c[keep], loss[keep], tuple(notes))


def _rows(
    path: str, conditions: Sequence[Condition] = (), wanted: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and line, values by column) of each row that holds the conditions. A missing value is left out.

    The table must have the columns `wanted`, or those of runs.
    """
    stem, ending = os.path.splitext(path.lower())
    ending, header = os.path.splitext(stem)[1] if ending in READ else ending, list[str]()
    if ending not in _ENDINGS:
        raise UserError(f"{path}: a table of runs must end in {' or '.join(_ENDINGS)}")
    for number, line in read_lines(path):
        where, line = f"{path}: line {number:,}", line.removeprefix("\ufeff")
        if ending == ".jsonl":
            pairs = _json_pairs(where, line)
            names = [name for name, _ in pairs]
        else:
            fields = _fields(where, line)
            names = header or fields
            if len(fields) != len(names):
                raise UserError(f"{where}: {len(fields)} fields, the header has {len(header)}; mend the line")
            pairs = [(name, field or None) for name, field in zip(names, fields, strict=True)]
        doubled = sorted(name for name in _READ if names.count(name) > 1)
        if doubled:
            raise UserError(f"{where}: column {doubled[0]!r} appears twice; remove one")
        if ending == ".csv" and not header:
            header = names
            if not wanted:
                _check_known(where, header)
            there = _of_export(dict.fromkeys(header, ""), header)
            check_columns(where, [*(condition.column for condition in conditions), *wanted], list(there))
            continue
        row = _of_export({name: value for name, value in pairs if value is not None}, names)
        if all(condition.holds(where, row) for condition in conditions):
            yield where, row


def _of_export(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A row with what an export, which has the columns Name and State, says of its run under the names of results.

    Only with the hash of its config does a Name tell the run: elsewhere several runs may have one."""
    if not {"Name", "State"} <= set(names):
        return row
    known = {STATUS: row.get("State", "")}
    known |= {ARM: row.get("Group", "no group")} if "Group" in names else {}
    known |= {RUN: row["Name"]} if HASH in row and "Name" in row else {}
    return known | row


def _fields(where: str, line: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line]))]
    except (csv.Error, StopIteration) as e:
        raise UserError(f"{where}: not a line of a .csv file ({e}); mend the line") from None


def _json_pairs(where: str, line: str) -> Sequence[tuple[str, Any]]:
    """Keys and values of an object, doubled keys included."""
    try:
        pairs = parse_json(line, object_pairs_hook=tuple)
    except ValueError:
        raise UserError(f'{where}: not JSON; every line must be an object like {{"parameters": 1000, ...}}') from None
    if not isinstance(pairs, tuple):
        raise UserError(f'{where}: not an object; every line must be like {{"parameters": 1000, ...}}')
    return pairs


def _check_known(where: str, names: Sequence[str]) -> None:
    """UserError unless every quantity has a column."""
    for wanted in (COLUMNS["parameters"], COLUMNS["tokens"] + COLUMNS["flops"], COLUMNS["loss"]):
        if not set(wanted) & set(names):
            close = next((hint for hint in (nearest(w, names) for w in wanted) if hint), "")
            close = close.replace("did you mean", "is it").replace("?", "? then rename it")
            raise UserError(
                f"{where}: no column {' or '.join(repr(w) for w in wanted)}{close}; add one, or fill its cell"
            )


def _numbers(where: str, row: dict[str, Any]) -> dict[str, float]:
    _check_known(where, list(row))
    found = {}
    for key, names in COLUMNS.items():
        name = next((n for n in names if n in row), None)
        if name is not None:
            found[key] = _positive(f"{where}: column {name!r}", row[name])
    for name in SCORES:
        if isinstance(row.get(name), int | float | str):
            found[name] = _number(f"{where}: column {name!r}", row[name])
    for name in (VOCABULARY, PER_TOKEN):
        if name in row:
            found[name] = _positive(f"{where}: column {name!r}", row[name])
    return found


def _number(where: str, value: Any) -> float:
    try:
        return float("x" if isinstance(value, bool | list | tuple) else value)
    except (ValueError, OverflowError):
        raise UserError(f"{where}: {str(value)[:40]!r} is not a number; mend or remove the line") from None


def _positive(where: str, value: Any) -> float:
    number = _number(where, value)
    if not (math.isfinite(number) and number > 0):
        raise UserError(f"{where}: {value} is not a positive number; mend or remove the line")
    return number
