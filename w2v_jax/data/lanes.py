"""Contiguous lanes of a token stream, for recurrent models that carry their state from step to step.

A split is one stream x_0 .. x_{N-1}, documents end to end. It holds P predictions in order: of every token from the one
before it, the first from a start token; without a start token the first is not predicted and P = N - 1. The stream of
predictions is cut into B lanes of L = ceil(P / B); lane b holds predictions bL .. (b+1)L - 1, and the end of the last
lanes is padding. A step takes the next T predictions of every lane (truncated backpropagation through time, Williams
and Peng 1990), so that every token is scored once a pass, after all that its lane has seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar

import jax
import numpy as np

from w2v_jax.data import pipeline
from w2v_jax.data.corpus import Tokens
from w2v_jax.errors import UserError
from w2v_jax.types import HostBatch


@dataclasses.dataclass(frozen=True, eq=False)
class LaneSource:
    """See `lane_source`."""

    stream: np.ndarray  # [N]
    batch_size: int
    length: int
    start_id: int | None
    empty: ClassVar = {"targets": -1}

    @property
    def predictions(self) -> int:
        """P, tokens predicted in a pass."""
        return len(self.stream) - (self.start_id is None)

    @property
    def lane(self) -> int:
        """L, predictions of a lane."""
        return -(-self.predictions // self.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.lane // self.length)

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        wide, tall = (self.batch_size, self.length), (self.batch_size,)
        shapes = {"tokens": wide, "targets": wide, "start": tall, "words": tall}
        return {name: jax.ShapeDtypeStruct(shape, np.int32) for name, shape in shapes.items()}

    def write(self, epoch: int, at: int, rows: slice, into: HostBatch) -> None:
        """See `w2v_jax.data.pipeline.StepWriter`."""
        steps, share, length = into["tokens"].shape
        # Row b, column j of the two arrays is prediction begin[b] + j; they are cut into steps at the end.
        inputs = np.zeros((share, steps * length), np.int32)
        targets = np.full((share, steps * length), -1, np.int32)
        shift = int(self.start_id is None)  # prediction p is of token p + shift
        first, last = at * length, min((at + steps) * length, self.lane)
        for i, b in enumerate(range(rows.start, rows.stop)):
            begin, end = b * self.lane + first, min(b * self.lane + last, self.predictions)
            if begin >= end:
                break
            size = end - begin
            targets[i, :size] = self.stream[begin + shift : end + shift]
            if begin or self.start_id is None:
                inputs[i, :size] = self.stream[begin + shift - 1 : end + shift - 1]
            else:
                inputs[i, 0] = self.start_id
                inputs[i, 1:size] = self.stream[: size - 1]
        for name, values in (("tokens", inputs), ("targets", targets)):
            into[name][:] = values.reshape(share, steps, length).swapaxes(0, 1)
        into["start"][0] = at == 0
        into["words"][:] = (into["targets"] >= 0).sum(-1)

    def iterate(
        self, start: int, stop: int, steps_per_call: int = 1, process_index: int = 0, process_count: int = 1
    ) -> Iterator[HostBatch]:
        """See `w2v_jax.types.Source.iterate`.

        Raises:
          ValueError: `process_count` does not divide the rows of a batch.
        """
        return pipeline.iterate(self, start, stop, steps_per_call, process_index, process_count)


def lane_source(tokens: Tokens, *, batch_size: int, length: int, start_id: int | None) -> LaneSource:
    """Windows of `batch_size` contiguous lanes, the same in every epoch.

    Entries of a step, B lanes, T = length:
      tokens int32 [B, T]: inputs; 0 where there is nothing to predict.
      targets int32 [B, T]: the tokens that follow them; -1 where there is nothing to predict.
      start int32 [B]: 1 on the first step of a pass, where the carried state is reset; else 0.
      words int32 [B]: targets of the row, padding left out; an epoch's sum is the number of predictions.

    An epoch has ceil(L / T) steps, L being the predictions of a lane. Where B does not divide the predictions the last
    lane is shorter; very short lanes can leave several lanes at the end without any.

    Args:
      tokens: N tokens of a split.
      batch_size: B, lanes.
      length: T, predictions of a lane in a step.
      start_id: the token before the first (that which ends a document); None leaves the first token unpredicted.

    Raises:
      UserError: fewer predictions than lanes.
      ValueError: a size below 1.
    """
    if min(batch_size, length) < 1:
        raise ValueError("batch_size and length must be at least 1")
    # A plain view: slices of a memory map cost ten times as much.
    source = LaneSource(np.asarray(tokens.tokens), batch_size, length, start_id)
    if source.predictions < batch_size:
        raise UserError(
            f"train.batch_size={batch_size}: the text has only {max(source.predictions, 0)} tokens to predict, fewer "
            "than lanes; lower it or give more text"
        )
    return source
