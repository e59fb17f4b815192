"""The layers of a recurrent model that read from left to right, one step at a time."""

from __future__ import annotations

from typing import NamedTuple

import jax

from w2v_jax.nn.recurrent import Cell, State, run_cell, trace_cell, zero_state
from w2v_jax.types import Array, Params


class Recurrence(NamedTuple):
    cell: Cell
    hidden: int  # H
    table: Array  # [V', D] word vectors
    layers: list[Params]


def begin(recurrence: Recurrence, rows: int) -> list[State]:
    """The zero state of every layer for `rows` texts."""
    return [zero_state(recurrence.cell, rows, recurrence.hidden) for _ in recurrence.layers]


def trace(
    recurrence: Recurrence, x: Array, states: list[State] | None = None
) -> tuple[list[dict[str, Array]], list[State]]:
    """Reads vectors x [B, T, D] from `states`, zero by default.

    Returns (inner values of every layer, {name: [B, T, H]} each; the states after the last vector).
    """
    h, parts, after = x.swapaxes(0, 1), [], []
    for params, state in zip(recurrence.layers, states or begin(recurrence, len(x)), strict=True):
        inner, last = trace_cell(recurrence.cell, params, h, state)
        h = inner["h"]
        parts.append({name: values.swapaxes(0, 1) for name, values in inner.items()})
        after.append(last)
    return parts, after


def advance(recurrence: Recurrence, states: list[State], ids: Array) -> list[State]:
    """The states of all layers after one more token, ids int32 [B]."""
    h, after = recurrence.table[ids], []
    for params, state in zip(recurrence.layers, states, strict=True):
        out, state = run_cell(recurrence.cell, params, h[None], state)
        h = out[0]
        after.append(state)
    return after


def read(recurrence: Recurrence, ids: Array) -> list[State]:
    """The states after texts int32 [B, T], from zero."""
    start = begin(recurrence, len(ids))
    return jax.lax.scan(lambda states, x: (advance(recurrence, states, x), None), start, ids.T)[0]
