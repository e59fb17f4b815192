"""Contiguous lanes of a token stream, for language models.

A recurrent model carries its state along each lane from step to step. A transformer carries nothing: each step gives it
the next window of every lane.

A split is one stream x_0 .. x_{N-1}, documents end to end. It holds P predictions: of every token from the one before
it, of the first from a start token; without a start token the first is not predicted and P = N - 1. The predictions are
cut into B lanes of L = ceil(P / B); lane b holds predictions bL .. (b+1)L - 1, and the last lanes end in padding. A
step takes the next T predictions of every lane (truncated backpropagation through time, Williams and Peng 1990). Every
token is scored once per pass, given everything before it in its lane.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
import numpy as np

from w2v_jax.data.backward import Backward
from w2v_jax.data.corpus import Tokens
from w2v_jax.data.pipeline import Source
from w2v_jax.data.remote import Remote
from w2v_jax.errors import UserError
from w2v_jax.types import HostBatch


def lane_source(tokens: Tokens, shapes: Mapping[str, jax.ShapeDtypeStruct], *, start_id: int | None) -> Source:
    """Windows of B contiguous lanes, the same in every epoch.

    Entries of a step, B lanes:
      tokens int32 [B, T]: inputs; 0 where there is nothing to predict.
      targets int32 [B, T]: the tokens that follow them; -1 where there is nothing to predict.
      start int32 [B]: 1 on the first step of a pass, where the carried state is reset; else 0.
      words int32 [B]: targets of the row, padding left out; an epoch's sum is the number of predictions.
      doc int32 [B, T], where `shapes` has it: the number of the document of each target; -1 without a target.

    An epoch has ceil(L / T) steps. `shapes` states B and T; `start_id` is the token before the first (the end token),
    or None to leave the first token unpredicted. UserError: fewer predictions than lanes.
    """
    lanes, length = shapes["tokens"].shape
    stream = tokens.tokens
    if not isinstance(stream, (Remote, Backward)):  # of which each process fetches its own lanes alone
        stream = np.asarray(stream)  # a plain view: slices of a memory map cost ten times as much
    predictions = len(stream) - (start_id is None)
    if predictions < lanes:
        raise UserError(
            f"train.batch_size={lanes}: the text has only {max(predictions, 0)} tokens to predict, fewer than lanes; "
            "lower it or give more text"
        )
    lane = -(-predictions // lanes)
    write = partial(_write, stream, tokens.offsets, start_id, lane)
    return Source(shapes, -(-lane // length), write, {"targets": -1, "doc": -1}, {})


def _write(
    stream: np.ndarray | Remote | Backward,
    offsets: np.ndarray,
    start_id: int | None,
    lane: int,
    epoch: int,
    at: int,
    rows: slice,
    into: HostBatch,
) -> None:
    """`Source.write`; a lane has `lane` predictions."""
    steps, share, length = into["tokens"].shape
    # Row b, column j of the two arrays is prediction begin[b] + j; they are cut into steps at the end.
    inputs = np.zeros((share, steps * length), np.int32)
    targets = np.full((share, steps * length), -1, np.int32)
    doc = np.full_like(targets, -1)
    shift = int(start_id is None)  # prediction p is of token p + shift
    first, last = at * length, min((at + steps) * length, lane)
    for i, b in enumerate(range(rows.start, rows.stop)):
        begin, end = b * lane + first, min(b * lane + last, len(stream) - shift)
        if begin >= end:
            break
        size = end - begin
        targets[i, :size] = stream[begin + shift : end + shift]
        if "doc" in into:
            doc[i, :size] = np.searchsorted(offsets, np.arange(begin + shift, end + shift), side="right") - 1
        if begin or start_id is None:
            inputs[i, :size] = stream[begin + shift - 1 : end + shift - 1]
        else:
            inputs[i, 0] = start_id
            inputs[i, 1:size] = stream[: size - 1]
    for name, values in (("tokens", inputs), ("targets", targets), ("doc", doc)):
        if name in into:
            into[name][:] = values.reshape(share, steps, length).swapaxes(0, 1)
    into["start"][0] = at == 0
    into["words"][:] = (into["targets"] >= 0).sum(-1)
