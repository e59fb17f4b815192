"""Reads the runs to fit from a .csv or .jsonl file: parameters, tokens or FLOPs, loss."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.scaling.isoflop import FLOPS_A_TOKEN
from w2v_jax.scaling.plateau import RULE, Score, on_plateau
from w2v_jax.scaling.repeats import Keyed, check_one_loss, check_spread, lowest, once
from w2v_jax.scaling.table_rows import (
    ARM,
    COLUMNS,
    FINISHED,
    HASH,
    PER_TOKEN,
    RUN,
    SCORES,
    SEED,
    STATUS,
    VOCABULARY,
    check_known,
    number,
    positive,
    rows,
)
from w2v_jax.scaling.where import Condition

FAR = 10.0  # FLOPs beyond this multiple of 6 N D, or its inverse, are taken for another unit
LARGEST_VOCABULARY = 1e6  # where the table states none
_RATES = ("learning_rate", "batch_tokens")


class NoRun(UserError):
    """A table, or an arm of it, has no run that a law could be fitted to."""


class Runs(NamedTuple):
    """Float64 arrays [n] in the order of the file, and notes on how they were completed."""

    parameters: np.ndarray
    tokens: np.ndarray
    flops: np.ndarray
    loss: np.ndarray
    notes: tuple[str, ...]


class Arms(NamedTuple):
    """The arms of a table in order, and what no law of an arm can have."""

    names: tuple[str, ...]  # of finished runs; empty without that column
    unnamed: int  # finished runs without an arm, where others have one
    unfinished: tuple[str, ...]  # arms without a finished run


class Rated(NamedTuple):
    """Runs that state their rate and batch, float64 [n] each."""

    parameters: np.ndarray
    tokens: np.ndarray
    rate: np.ndarray
    batch: np.ndarray  # tokens a step
    loss: np.ndarray


def read_arms(path: str | os.PathLike[str], where: Sequence[Condition] = ()) -> Arms:
    """The arms of a table's rows that hold the conditions. UserError: as `read_table`."""
    named, done, unnamed = dict[str, None](), dict[str, None](), 0
    for place, row in rows(os.fspath(path), where):
        if not _holds(place, row, where):
            continue
        finished = row.get(STATUS, FINISHED) == FINISHED
        unnamed += finished and ARM not in row
        if ARM in row:
            named[str(row[ARM])] = None
            done |= {str(row[ARM]): None} if finished else {}
    return Arms(tuple(done), unnamed if done else 0, tuple(name for name in named if name not in done))


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
    "finished" are left out. A run that is there twice counts once: repeats would narrow every interval. It is known by
    its name in the column "run" and its config (column "config_hash", or without that its parameters, tokens and
    FLOPs), or by all of its numbers where it has no name. A name with two configs is two runs. Runs on the plateau of
    single words are left out, see `plateau`, and those with an empty cell of the loss. `notes` says all this, and what
    looks like another unit: FLOPs far from 6 N D (or from the column "flops_per_token"), a loss above the logarithm of
    the vocabulary (column "vocabulary"; otherwise of a million tokens). Of an export from Weights & Biases, which has
    the columns Name and State, State and Group are read as status and arm, and Name as run where there is a
    config_hash, as in a study's runs.csv. Other columns are ignored.

    Args:
      path: .csv with a header line, or .jsonl with one object per line; also packed, such as .csv.xz.
      drop_fewest_tokens_per_parameter: number of runs to leave out; Besiroglu et al. 2024 (arXiv 2404.10102) drop five.
      arm: only runs with this value in the column "arm"; None takes all.
      where: conditions that the rows must hold; others are left out.
      repeats: count rows that repeat a run, as some published fits do.
      best: of runs of equal parameters and tokens, and of one seed where there is a column "seed", take the one of the
        lowest loss, as after a search for rates.

    Raises:
      UserError: naming file, line and column: a missing, empty or unreadable file, a missing or doubled column, a
        value that is not a positive number. NoRun, which is one: no run left.
    """
    path = os.fspath(path)
    found, notes = _read(path, arm, where, repeats, seeds=best)
    if best:
        found, note = lowest(found)
        notes.append(note)
    notes += _odd_units(found)
    return _columns(path, found, notes, drop_fewest_tokens_per_parameter)


def read_rates(
    path: str | os.PathLike[str], arm: str | None = None, where: Sequence[Condition] = (), repeats: bool = False
) -> Rated:
    """The runs of `read_table`, without `best`, that have learning_rate and batch_tokens. UserError: as there, or none
    has both."""
    path = os.fspath(path)
    found, _ = _read(path, arm, where, repeats, _RATES)
    found = [row for row in found if all(name in row for name in _RATES)]
    if not found:
        raise UserError(f"{path}: no run has {' and '.join(_RATES)}")
    runs = _columns(path, found, [], 0)
    rate, batch = (np.array([row[name] for row in found]) for name in _RATES)
    return Rated(runs.parameters, runs.tokens, rate, batch, runs.loss)


def read_columns(
    path: str | os.PathLike[str], names: Sequence[str], where: Sequence[Condition] = ()
) -> dict[str, np.ndarray]:
    """Columns of positive numbers, float64 [n] each, of the rows that hold the conditions and have all of them.

    UserError: as `read_table`, for any table; no row left; no column of that name.
    """
    path, found = os.fspath(path), list[list[float]]()
    for place, row in rows(path, where, names, of_runs=False):
        if _holds(place, row, where) and all(row.get(name) is not None for name in names):
            found.append([positive(f"{place}: column {name!r}", row[name]) for name in names])
    if not found:
        raise UserError(f"{path}: no row has {' and '.join(names)}{' and holds --where' if where else ''}")
    return dict(zip(names, np.array(found).T, strict=True))


def _holds(place: str, row: dict[str, Any], where: Sequence[Condition]) -> bool:
    return all(condition.holds(place, row) for condition in where)


def _read(
    path: str,
    arm: str | None,
    where: Sequence[Condition],
    repeats: bool,
    extra: Sequence[str] = (),
    seeds: bool = False,
) -> tuple[list[dict[str, float]], list[str]]:
    """(numbers of each run, notes on what was left out), the columns `extra` with them where a row has these.

    With `seeds` also a number for each different text of the column "seed"."""
    found, unfinished, unscored, others = list[tuple[str, Keyed, str]](), 0, 0, 0
    known = dict[str, float]()
    for place, row in rows(path, where, extra):
        if arm is not None and str(row.get(ARM)) != arm:
            continue
        if not _holds(place, row, where):
            others += 1
        elif row.get(STATUS, FINISHED) != FINISHED:
            unfinished += 1
        elif _unscored(row):
            unscored += 1
        else:
            numbers, loss = _numbers(place, row, extra)
            if seeds and SEED in row:
                numbers[SEED] = known.setdefault(str(row[SEED]), float(len(known)))
            found.append((place, ((row.get(RUN), row.get(HASH)), numbers), loss))
    if not found:
        left = f"; {unfinished} run(s) have another status than {FINISHED!r}" if unfinished else ""
        left += f"; {unscored} run(s) have no held-out loss" if unscored else ""
        left += "; no other row holds the conditions of --where" if where else ""
        raise NoRun(f"{path}: no run to fit{left}")
    check_one_loss([(place, loss) for place, _, loss in found])
    check_spread([(place, numbers) for place, (_, numbers), _ in found])
    notes = [f"{unfinished} run(s) left out: status is not {FINISHED!r}"] if unfinished else []
    notes += [f"{unscored} run(s) left out: without a held-out loss"] if unscored else []
    notes += [f"{others} row(s) left out: they do not hold --where"] if others else []
    every = [keyed for _, keyed, _ in found]
    kept, repeated = ([row for _, row in every], list[str]()) if repeats else once(every)
    notes += repeated
    flat = on_plateau([Score(row["loss"], *(row.get(name) for name in SCORES)) for row in kept])
    if any(flat):
        notes.append(f"{sum(flat)} run(s) left out, {RULE}")
        kept = [row for row, out in zip(kept, flat, strict=True) if not out]
    if not kept:
        raise NoRun(f"{path}: no run to fit; all {len(flat)} are on the plateau of single words")
    return kept, notes


def _unscored(row: dict[str, Any]) -> bool:
    """Whether the cells of the loss are empty."""
    cells = [row[name] for name in COLUMNS["loss"] if name in row]
    return bool(cells) and all(cell is None for cell in cells)


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
        raise NoRun(f"{path}: cannot drop {drop} of {len(rows)} run(s); give a number from 0 to {len(rows) - 1}")
    keep = np.sort(np.argsort(d / n, kind="stable")[drop:])
    if drop:
        notes.append(f"{drop} run(s) of the fewest tokens a parameter left out, up to {np.sort(d / n)[drop - 1]:.3g}")
    return Runs(n[keep], d[keep], c[keep], loss[keep], tuple(notes))


def _numbers(where: str, row: dict[str, Any], extra: Sequence[str] = ()) -> tuple[dict[str, float], str]:
    """(the numbers of a row, the name of the column that its loss is from)."""
    check_known(where, list(row))
    found, column = {}, dict[str, str]()
    for key, names in COLUMNS.items():
        name = next((n for n in names if row.get(n) is not None), None)
        if name is not None:
            found[key], column[key] = positive(f"{where}: column {name!r}", row[name]), name
    for name in SCORES:
        if isinstance(row.get(name), int | float | str):
            found[name] = number(f"{where}: column {name!r}", row[name])
    for name in (VOCABULARY, PER_TOKEN, *extra):
        if name in row:
            found[name] = positive(f"{where}: column {name!r}", row[name])
    return found, column["loss"]
