"""What each row of the results says of each test item, as tables beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import predictions
from experiments.word_sense.labelled import Word
from w2v_jax.data.senses import Occurrence, Pair
from w2v_jax.errors import UserError

Table = list[tuple[str, str, str, str]]
"""(file and line, word, truth, what is predicted) of each item, in the order of the files."""
_HEADER = ("line", "word", "truth", "predicted", "right")


def check_names(names: Sequence[str]) -> None:
    """UserError: the tables of two runs would be one file."""
    files: dict[str, str] = {}
    for name in names:
        if (other := files.setdefault(predictions.file_of(name), name)) != name:
            raise UserError(
                f"--workdirs: {other!r} and {name!r} both write {predictions.file_of(name)}; "
                "give one of them another name, NAME=DIR"
            )


def of_words(asked: Sequence[Occurrence], words: Sequence[Word], found: Sequence[np.ndarray]) -> Table:
    """Of the labels int [M] of the test part of each word."""
    rows = {}
    for word, labels in zip(words, found, strict=True):
        for place, label in zip(word.asked.tolist(), labels, strict=True):
            one = asked[place]
            rows[place] = (one.where, one.word, one.sense, word.senses[label])
    return [rows[place] for place in sorted(rows)]


def of_pairs(pairs: Mapping[str, Sequence[Pair]], found: Mapping[str, np.ndarray]) -> Table:
    """Of what is bool [M], meant alike, for the pairs of each split."""
    letters = np.array(["F", "T"])
    return [
        (pair.where, pair.word, str(letters[int(pair.same)]), str(letters[int(same)]))
        for split, alike in found.items()
        for pair, same in zip(pairs[split], alike, strict=True)
    ]


def name_of(part: str, row: Mapping[str, Any]) -> str:
    """Under which the table of a row of a part of the results is written."""
    kinds = [row["classifier"]] if row.get("classifier", "-") != "-" else []
    return " ".join([part, row["model"], *kinds])


def write(folder: Path, tables: Mapping[str, Table]) -> None:
    """Writes each table under its name."""
    for name, rows in tables.items():
        cells = [(*row, "yes" if row[2] == row[3] else "no") for row in rows]
        predictions.write(folder, name, _HEADER, cells)
