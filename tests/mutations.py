"""Damaged copies of valid files, for tests with hypothesis: they find more than random bytes, which fail at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import strategies as st

from w2v_jax.errors import UserError

# What readers may trip over: numbers without an end, broken UTF-8, lone surrogates, deep nesting, odd line ends.
TOKENS = [
    b"nan",
    b"-1",
    b"1e999",
    b"9" * 30,
    b"0",
    b"\xff",
    b"\xc3",
    b"\0",
    b"\r",
    b"\n",
    b"\t",
    b" ",
    b'"',
    b"\\",
    b",",
]
TOKENS += [
    b'"\\ud800"',
    b"[" * 3000,
    b"{}",
    b"[]",
    b"null",
    b"true",
    b"NaN",
    b"\xef\xbb\xbf",
    "\u2028é".encode(),
    b"1" * 5000,
]
PLACE = st.floats(0, 1)


def _change(data: bytes, kind: str, a: float, b: float, piece: bytes, count: int) -> bytes:
    first, last = sorted((int(a * len(data)), int(b * len(data))))
    if kind == "flip" and first < len(data):
        return data[:first] + bytes([data[first] ^ 1 << count % 8]) + data[first + 1 :]
    if kind == "cut":
        return data[:first] + data[last:]
    if kind == "end":
        return data[:first]
    if kind == "replace":
        return data[:first] + piece + data[first + count :]
    if kind == "repeat":
        return data[:first] + data[first:last] * count + data[last:]
    return data[:first] + piece + data[first:]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "end", "replace", "repeat", "insert"]),
        PLACE,
        PLACE,
        st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)),
        st.integers(1, 9),
    ),
    max_size=3,
)


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """`data` with up to three changes; now and then random bytes instead."""

    def apply(changes: list[Any]) -> bytes:
        out = data
        for change in changes:
            out = _change(out, *change)
        return out

    return st.one_of(CHANGES.map(apply), CHANGES.map(apply), CHANGES.map(apply), st.binary(max_size=64))


def tries(count: int) -> Any:
    """The decorator of a property: the same examples in every run, and no time limit of one."""
    health = list(hypothesis.HealthCheck)
    return hypothesis.settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=health
    )


def result_or_line(read: Callable[[], Any]) -> Any:
    """The result of `read`, None for a UserError of one line; anything else that it raises is raised."""
    try:
        return read()
    except UserError as e:
        assert str(e) and "\n" not in str(e), e
        return None
