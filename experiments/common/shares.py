"""Shares of right answers as text, in one form for all tables."""

from __future__ import annotations

from collections.abc import Iterable

from w2v_jax.evaluation.classification import accuracy_error, interval

ERROR = "± one standard error"
BRACKETS = "in brackets, where it is 0: the 95 % interval"


def told(share: float, count: int, digits: int = 2, sign: str = "%") -> str:
    """A share of `count` answers in per cent, with its standard error, or where that is 0, as all are right or none,
    with the interval of Wilson."""
    middle, error, low, high = (
        f"{100 * x:.{digits}f}{sign}" for x in (share, accuracy_error(share, count), *interval(share, count))
    )
    return f"{middle} ± {error}" if 0 < share < 1 else f"{middle} ({low} to {high})"


def about(shares: Iterable[float]) -> str:
    """What stands beside the shares of a table, as a part of the text below it."""
    return ERROR if all(0 < share < 1 for share in shares) else f"{ERROR} ({BRACKETS})"
