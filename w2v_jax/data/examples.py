"""Batches of labelled token sequences for classifiers: texts of similar length together, each once a pass.

Examples are sorted by length and cut into buckets of whole batches. In epoch e the examples of every bucket are
permuted, then all batches are, both by (seed, e). So a batch holds texts of one bucket, its padded length varies with
it, and only one batch of a pass is not full.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import jax
import numpy as np

from w2v_jax.data import pipeline
from w2v_jax.data.hashing import key_of
from w2v_jax.data.order import shuffled
from w2v_jax.types import HostBatch

_SPLIT, _BATCHES, _BUCKETS = 1, 2, 3  # what a permutation is drawn for; bucket k has _BUCKETS + k


@dataclasses.dataclass(frozen=True, eq=False)
class ExampleSource:
    """See `example_source`. N examples, their tokens end to end."""

    tokens: np.ndarray  # int32 [sum of lengths]
    begin: np.ndarray  # int64 [N]
    size: np.ndarray  # int32 [N], at most max_length
    labels: np.ndarray  # int32 [N]
    batch_size: int
    max_length: int
    buckets: int
    seed: int
    shuffle: bool
    report: dict[str, int | float]
    """'examples'; 'empty_examples', those without a token; 'cut_examples', those longer than max_length; 'cut_share',
    the share of all tokens that this leaves out."""
    empty: ClassVar = {"label": -1}

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        tall = (self.batch_size,)
        shapes = {"tokens": (*tall, self.max_length), "length": tall, "steps": tall, "label": tall, "words": tall}
        return {name: jax.ShapeDtypeStruct(shape, np.int32) for name, shape in shapes.items()}

    def order(self, epoch: int) -> np.ndarray:
        """Index of the example in every row of an epoch, int64 [steps_per_epoch, B]; -1 for none."""
        order: np.ndarray = self._order(epoch if self.shuffle else 0)
        return order

    @cached_property
    def _order(self) -> Any:
        return lru_cache(maxsize=2)(self._make_order)

    @cached_property
    def _sorted(self) -> np.ndarray:
        return np.argsort(self.size, kind="stable")

    def _make_order(self, epoch: int) -> np.ndarray:
        steps = self.steps_per_epoch
        order = np.full(steps * self.batch_size, -1, np.int64)
        order[: len(self._sorted)] = self._sorted
        if not self.shuffle:
            return order.reshape(steps, -1)
        edges = np.arange(self.buckets + 1) * steps // self.buckets * self.batch_size
        for k, (a, b) in enumerate(zip(edges[:-1], np.minimum(edges[1:], len(self._sorted)), strict=True)):
            if b - a > 1:
                order[a:b] = order[a:b][shuffled(int(b - a), key_of(self.seed, epoch, _BUCKETS + k))]
        batches = order.reshape(steps, -1)
        return batches[shuffled(steps, key_of(self.seed, epoch, _BATCHES))] if steps > 1 else batches

    def write(self, epoch: int, at: int, rows: slice, into: HostBatch) -> None:
        """See `w2v_jax.data.pipeline.StepWriter`."""
        batches = self.order(epoch)[at : at + len(into["label"])]
        there = batches >= 0
        into["steps"][:] = np.where(there, self.size[batches], 0).max(1, keepdims=True)  # of the whole batch
        batches, there = batches[:, rows], there[:, rows]
        into["length"][there] = into["words"][there] = self.size[batches[there]]
        into["label"][there] = self.labels[batches[there]]
        place = np.arange(self.max_length)
        inside = place < into["length"][..., None]
        into["tokens"][inside] = self.tokens[(self.begin[batches][..., None] + place)[inside]]

    def iterate(
        self, start: int, stop: int, steps_per_call: int = 1, process_index: int = 0, process_count: int = 1
    ) -> Iterator[HostBatch]:
        """See `w2v_jax.types.Source.iterate`.

        Raises:
          ValueError: `process_count` does not divide the rows of a batch.
        """
        return pipeline.iterate(self, start, stop, steps_per_call, process_index, process_count)


def example_source(
    ids: Sequence[np.ndarray],
    labels: np.ndarray,
    *,
    batch_size: int,
    max_length: int,
    buckets: int,
    seed: int,
    shuffle: bool,
) -> ExampleSource:
    """Batches of B labelled texts of at most T tokens.

    Entries of a step, T = max_length:
      tokens int32 [B, T]: from column 0 on, then 0.
      length int32 [B]: tokens of the row, of a longer text its first T.
      steps int32 [B]: the largest length in the batch, the same in every row, so that a loop over time can end there.
      label int32 [B]: -1 where there is no example.
      words int32 [B]: tokens of the row.

    An epoch has ceil(N / B) steps. With one bucket batches are drawn from all examples; with as many as there are steps
    they hold the same examples in every epoch; in between, more buckets are less padding and less chance.

    Args:
      ids: tokens of N texts, integers; a text may be empty.
      labels: [N], non-negative integers.
      batch_size: B.
      max_length: T.
      buckets: groups of similar length; those beyond the number of batches stay empty.
      seed: of the order, 0 to 2**31 - 1.
      shuffle: False goes through the texts from short to long in every epoch (`order` says which is where).

    Raises:
      ValueError: a size below 1, no example, labels that are negative or not one a text.
    """
    if min(batch_size, max_length, buckets) < 1:
        raise ValueError("batch_size, max_length and buckets must be at least 1")
    labels = np.asarray(labels)
    if not len(ids) or labels.shape != (len(ids),) or labels.min() < 0:
        raise ValueError(f"{len(ids)} texts need as many labels of 0 or more, and at least one")
    full = np.array([len(x) for x in ids], np.int64)
    size = np.minimum(full, max_length)
    report: dict[str, int | float] = {
        "examples": len(ids),
        "empty_examples": int((full == 0).sum()),
        "cut_examples": int((full > max_length).sum()),
        "cut_share": float((full - size).sum() / max(1, full.sum())),
    }
    return ExampleSource(
        tokens=np.concatenate([np.asarray(x[:max_length], np.int32) for x in ids]),
        begin=np.cumsum(size) - size,
        size=size.astype(np.int32),
        labels=labels.astype(np.int32),
        batch_size=batch_size,
        max_length=max_length,
        buckets=buckets,
        seed=seed,
        shuffle=shuffle,
        report=report,
    )


def split_tenth(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(indices to train on, indices held out), int64 and rising; a tenth of 0..n-1, and at least one, is held out.

    Raises:
      ValueError: `n` below 2.
    """
    if n < 2:
        raise ValueError(f"{n} examples cannot be split")
    order = shuffled(n, key_of(seed, 0, _SPLIT))
    held = max(1, n // 10)
    return np.sort(order[held:]), np.sort(order[:held])
