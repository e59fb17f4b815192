"""Conditions on the rows of a table: `schedule=constant,tokens<=1e11`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from w2v_jax.errors import UserError, nearest

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"=": operator.eq, "<=": operator.le, ">=": operator.ge}


class Condition(NamedTuple):
    """One comparison: of numbers where both sides are numbers, otherwise of texts, which can only be equal."""

    column: str
    compare: str  # a key of `_COMPARE`
    value: str

    def holds(self, where: str, row: Mapping[str, Any]) -> bool:
        """Whether a row holds it; an empty field holds none. UserError: a text is compared by size.

        `where` names the file and the line of the row.
        """
        if row.get(self.column) is None:
            return False
        numbers = _number(row[self.column]), _number(self.value)
        if None not in numbers:
            return _COMPARE[self.compare](*numbers)
        if self.compare != "=":
            given = f"{self.column}{self.compare}{self.value}"
            raise UserError(f"{where}: {str(row[self.column])[:40]!r} cannot be compared with {given!r} of --where")
        return str(row[self.column]) == self.value


def parse(text: str) -> list[Condition]:
    """Conditions from `column=value`, `column<=number` or `column>=number`, with commas between. UserError: others."""
    found = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"\s*([^<>=\s]+)\s*(<=|>=|=)\s*(.*?)\s*", part)
        if not match or not match[3]:
            raise UserError(f"--where={text}: {part!r} must be column=value, column<=number or column>=number")
        if match[2] != "=" and _number(match[3]) is None:
            raise UserError(f"--where={text}: {match[3]!r} must be a number, such as in loss<=2.5")
        found.append(Condition(*match.groups()))
    return found


def check_columns(where: str, wanted: Sequence[str], names: Sequence[str]) -> None:
    """UserError: a table lacks a wanted column."""
    for column in wanted:
        if column not in names:
            raise UserError(f"{where}: no column {column!r}{nearest(column, names)}")


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
