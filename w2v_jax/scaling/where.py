"""Conditions on the rows of a table: `schedule=constant,tokens<=1e11,"batch size"!="1,024"`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from w2v_jax.errors import UserError, nearest

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_EQUAL = "=", "!="
_QUOTED = r'"[^"]*"'
_CONDITION = re.compile(
    rf'[\s,]*(?P<column>{_QUOTED}|[^<>=!,"]+?)\s*(?P<compare>!=|<=|>=|=|<|>)\s*(?P<value>{_QUOTED}|(?![<>=!])[^",]+?)\s*(?:,|$)'
)


class Condition(NamedTuple):
    """One comparison: of numbers where both sides are numbers, otherwise of texts, which are equal or not."""

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
        if self.compare not in _EQUAL:
            cell = str(row[self.column])[:40]
            raise UserError(f"{where}: {cell!r} cannot be compared with {self.text!r} of --where")
        return _COMPARE[self.compare](str(row[self.column]), self.value)

    @property
    def text(self) -> str:
        """As it is given."""
        column, value = (f'"{x}"' if re.search(r"[<>=!,]|^\s|\s$", x) else x for x in (self.column, self.value))
        return f"{column}{self.compare}{value}"


def parse(text: str) -> list[Condition]:
    """Conditions from `column=value`, `column!=value`, `column<number` and so on, with commas between; a column or a
    value with a comma or another of these signs stands in double quotes. UserError: others."""
    found, at = list[Condition](), 0
    while at < len(text.rstrip(", ")):
        match = _CONDITION.match(text, at)
        if not match:
            part = text[at:].partition(",")[0]
            forms = "column=value, column!=value, or column<number with <, >, <= or >="
            raise UserError(f'--where={text}: {part!r} must be {forms}; put what holds such signs or a comma in "..."')
        column, compare, value = (match[x].strip('"') for x in ("column", "compare", "value"))
        if compare not in _EQUAL and _number(value) is None:
            raise UserError(f"--where={text}: {value!r} must be a number, such as in loss<=2.5")
        found.append(Condition(column, compare, value))
        at = match.end()
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
