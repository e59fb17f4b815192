"""Lines of a table of runs, .csv or .jsonl, by the names of their columns."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

from w2v_jax.errors import UserError, nearest
from w2v_jax.files import parse_json
from w2v_jax.scaling.where import Condition, check_columns
from w2v_jax.tables import read_lines
from w2v_jax.unpack import READ

# Names that the column of each quantity may have; the first that a row has counts, and one for all rows of the loss.
COLUMNS: dict[str, tuple[str, ...]] = {
    "parameters": ("parameters",),
    "tokens": ("tokens",),
    "flops": ("training_flops", "training_flop"),
    "loss": ("heldout_loss", "loss"),
}
SYMBOLS = {"parameters": "N", "tokens": "D", "training_flops": "C", "loss": "L"}  # what they may be called instead
STATUS, FINISHED = "status", "finished"
ARM = "arm"  # of a study; a law is fitted to the runs of one
RUN = "run"  # name of a run within its study
VOCABULARY = "vocabulary"
SEED = "seed"
LARGEST = 1e50  # of a number; its inverse is the least: products of three such are finite
HASH = "config_hash"  # two configs are two runs, even of one name
SCORES = ("heldout_accuracy", "heldout_unigram_loss", "heldout_unigram_accuracy")  # for `plateau`
PER_TOKEN = "flops_per_token"  # stated by studies: word vectors are far from 6 N
_READ = {STATUS, ARM, RUN, HASH, VOCABULARY, SEED, PER_TOKEN, *SCORES}.union(*COLUMNS.values())
# Columns of a study's results that are other quantities than those of near names.
_OTHERS = {"heldout_block_loss", "heldout_unigram_loss", "train_loss", "parameters_without_embeddings", "made_flops"}
_ENDINGS = (".csv", ".jsonl")  # with or without that of a packed file, such as .csv.xz


def rows(
    path: str, conditions: Sequence[Condition] = (), wanted: Sequence[str] = (), *, of_runs: bool = True
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and line, values by column) of each row. A missing value is left out, but for that of a loss: None.

    A row of a .csv whose quoted field goes on over several lines is named by the first. The table must have the columns
    of the conditions, the columns `wanted`, and where it is `of_runs` those of runs.
    """
    stem, ending = os.path.splitext(path.lower())
    ending, header = os.path.splitext(stem)[1] if ending in READ else ending, list[str]()
    if ending not in _ENDINGS:
        raise UserError(f"{path}: a table of runs must end in {' or '.join(_ENDINGS)}")
    for place, line in read_lines(path) if ending == ".jsonl" else _csv_rows(path):
        where = f"{path}: line {place:,}"
        if isinstance(line, str):
            pairs = _json_pairs(where, line.removeprefix("\ufeff"))
            names = [name for name, _ in pairs]
        else:
            fields, names = line, header or line
            if len(fields) != len(names):
                raise UserError(f"{where}: {len(fields)} fields, the header has {len(header)}; mend the line")
            pairs = [(name, field or None) for name, field in zip(names, fields, strict=True)]
        doubled = sorted(name for name in _READ if names.count(name) > 1)
        if doubled:
            raise UserError(f"{where}: column {doubled[0]!r} appears twice; remove one")
        if ending == ".csv" and not header:
            header = names
            if of_runs:
                _check_separator(where, header)
                check_known(where, header)
            there = _of_export(dict.fromkeys(header, ""), header)
            check_columns(where, [*(condition.column for condition in conditions), *wanted], list(there))
            continue
        kept = {name: value for name, value in pairs if value is not None or name in COLUMNS["loss"]}
        yield where, _of_export(kept, names)


def _of_export(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A row with what an export, which has the columns Name and State, says of its run under the names of results.

    Only with the hash of its config does a Name tell the run: elsewhere several runs may have one."""
    if not {"Name", "State"} <= set(names):
        return row
    known = {STATUS: row.get("State", "")}
    known |= {ARM: row.get("Group", "no group")} if "Group" in names else {}
    known |= {RUN: row["Name"]} if HASH in row and "Name" in row else {}
    return known | row


def _csv_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, fields) of each row. UserError: a quote that is not closed, or not doubled."""
    numbers = list[int]()  # of the lines of a row

    def fed() -> Iterator[str]:
        for number, line in read_lines(path):
            numbers.append(number)
            yield line.removeprefix("\ufeff") + "\n"

    reader = csv.reader(fed(), strict=True)
    while True:
        numbers.clear()
        try:
            fields = next(reader, None)
        except csv.Error as e:
            why = f"not a row of a .csv file ({e})"
            mend = 'is a quote (") not closed, or not doubled inside of a field? mend the line'
            raise UserError(f"{path}: line {numbers[0]:,}: {why}; {mend}") from None
        if fields is None:
            return
        yield numbers[0], [field.strip() for field in fields]


def _json_pairs(where: str, line: str) -> Sequence[tuple[str, Any]]:
    """Keys and values of an object, doubled keys included."""
    try:
        pairs = parse_json(line, object_pairs_hook=tuple)
    except ValueError:
        raise UserError(f'{where}: not JSON; every line must be an object like {{"parameters": 1000, ...}}') from None
    if not isinstance(pairs, tuple):
        raise UserError(f'{where}: not an object; every line must be like {{"parameters": 1000, ...}}')
    return pairs


def _check_separator(where: str, header: Sequence[str]) -> None:
    """UserError: the one name of a header holds another separator than a comma."""
    other = next((sign for sign in ";\t|" if len(header) == 1 and sign in header[0]), None)
    if other:
        name = "tabs" if other == "\t" else repr(other)
        raise UserError(f"{where}: fields are separated by {name}; save the file with commas between")


def check_known(where: str, names: Sequence[str]) -> None:
    """UserError unless every quantity has a column; it names all that are missing."""
    lacking = []
    for wanted in (COLUMNS["parameters"], COLUMNS["tokens"] + COLUMNS["flops"], COLUMNS["loss"]):
        if not set(wanted) & set(names):
            lacking.append(f"no column {' or '.join(repr(w) for w in wanted)}{_close(wanted, names)}")
    if lacking:
        raise UserError(
            f"{where}: {', '.join(lacking)}; add {'one' if len(lacking) == 1 else 'them'}, or fill its cell"
        )


def _close(wanted: Sequence[str], names: Sequence[str]) -> str:
    """The column that is most likely meant, in brackets."""
    symbol = next((name for name in names if name.upper() in {SYMBOLS.get(w) for w in wanted}), None)
    if symbol:
        return f" (is it {symbol!r}? then rename it)"
    others = [name for name in names if name not in _OTHERS]
    close = next((hint for hint in (nearest(w, others) for w in wanted) if hint), "")
    return close.replace("did you mean", "is it").replace("?", "? then rename it")


def number(where: str, value: Any) -> float:
    """A value of a cell. UserError: not a number."""
    try:
        return float("x" if isinstance(value, bool | list | tuple) else value)
    except (ValueError, OverflowError):
        raise UserError(f"{where}: {str(value)[:40]!r} is not a number; mend or remove the line") from None


def positive(where: str, value: Any) -> float:
    """A value of a cell. UserError: not a positive number."""
    found = number(where, value)
    if not (math.isfinite(found) and found > 0):
        raise UserError(f"{where}: {value} is not a positive number; mend or remove the line")
    if not 1 / LARGEST <= found <= LARGEST:
        raise UserError(f"{where}: {value} is not from {1 / LARGEST:g} to {LARGEST:g}; mend or remove the line")
    return found
