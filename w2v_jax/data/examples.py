"""Batches of labelled token sequences for classifiers: texts of similar length together, each once a pass.

Examples are sorted by length and cut into buckets of whole batches. Epoch e permutes the examples of every bucket, then
all batches, by (seed, e). A batch thus holds texts of one bucket, its padded length follows from the bucket, and only
one batch of a pass is not full.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any

import jax
import numpy as np

from w2v_jax.data.hashing import key_of
from w2v_jax.data.order import shuffled
from w2v_jax.data.pipeline import Source
from w2v_jax.types import HostBatch

_SPLIT, _BATCHES, _BUCKETS = 1, 2, 3  # what a permutation is drawn for; bucket k has _BUCKETS + k


@dataclasses.dataclass(frozen=True, eq=False)
class Order:
    """The example of every row of every epoch; see `example_source`."""

    size: np.ndarray  # int32 [N], tokens of each example
    batch_size: int
    buckets: int
    seed: int
    shuffle: bool

    @property
    def steps(self) -> int:
        return -(-len(self.size) // self.batch_size)

    def __call__(self, epoch: int) -> np.ndarray:
        """Index of the example in every row of an epoch, int64 [steps, B]; -1 for none."""
        order: np.ndarray = self._order(epoch if self.shuffle else 0)
        return order

    @cached_property
    def _order(self) -> Any:
        return lru_cache(maxsize=2)(self._make)

    @cached_property
    def _sorted(self) -> np.ndarray:
        return by_length(self.size)

    def _make(self, epoch: int) -> np.ndarray:
        order = np.full(self.steps * self.batch_size, -1, np.int64)
        order[: len(self._sorted)] = self._sorted
        if not self.shuffle:
            return order.reshape(self.steps, -1)
        edges = np.arange(self.buckets + 1) * self.steps // self.buckets * self.batch_size
        for k, (a, b) in enumerate(zip(edges[:-1], np.minimum(edges[1:], len(self._sorted)), strict=True)):
            if b - a > 1:
                order[a:b] = order[a:b][shuffled(int(b - a), key_of(self.seed, epoch, _BUCKETS + k))]
        batches = order.reshape(self.steps, -1)
        return batches[shuffled(self.steps, key_of(self.seed, epoch, _BATCHES))] if self.steps > 1 else batches


def by_length(size: Sequence[int] | np.ndarray) -> np.ndarray:
    """Which example each row of `example_source` without shuffling is, int64 [N], from their lengths, at most T."""
    return np.argsort(np.asarray(size), kind="stable")


def example_source(
    ids: Sequence[np.ndarray],
    labels: np.ndarray,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    *,
    buckets: int,
    seed: int,
    shuffle: bool,
) -> Source:
    """Batches of B labelled texts of at most T tokens; `shapes` states B and T.

    Entries of a step:
      tokens int32 [B, T]: from column 0 on, then 0.
      length int32 [B]: tokens of the row; a longer text keeps its first T.
      steps int32 [B]: the largest length in the batch, the same in every row: a loop over time can end there.
      label int32 [B]: -1 where there is no example.
      words int32 [B]: tokens of the row.

    An epoch has ceil(N / B) steps. With one bucket, batches are drawn from all examples; with one bucket per step, they
    hold the same examples in every epoch. In between, more buckets mean less padding and less randomness.

    Args:
      ids: integer tokens of N texts; a text may be empty.
      labels: [N], integers. ValueError: a negative one, another number than of texts, or no example.
      buckets: groups of similar length, at least 1; those beyond the number of batches stay empty.
      seed: of the order, 0 to 2**31 - 1.
      shuffle: False goes from short to long in every epoch (`Order` gives the rows).

    Returns:
      The source. Its report has 'examples'; 'empty_examples', those without a token; 'cut_examples', those longer than
      T; 'cut_share', the share of all tokens that this leaves out.
    """
    labels = np.asarray(labels)
    if not len(ids) or labels.shape != (len(ids),) or labels.min() < 0:
        raise ValueError(f"{len(ids)} texts need as many labels of 0 or more, and at least one")
    batch_size, longest = shapes["tokens"].shape
    full = np.array([len(x) for x in ids], np.int64)
    size = np.minimum(full, longest).astype(np.int32)
    report: dict[str, int | float] = {
        "examples": len(ids),
        "empty_examples": int((full == 0).sum()),
        "cut_examples": int((full > longest).sum()),
        "cut_share": float((full - size).sum() / max(1, full.sum())),
    }
    order = Order(size, batch_size, buckets, seed, shuffle)
    tokens = np.concatenate([np.asarray(x[:longest], np.int32) for x in ids])
    write = partial(_write, order, tokens, labels.astype(np.int32))
    return Source(shapes, order.steps, write, {"label": -1}, report)


def _write(
    order: Order, tokens: np.ndarray, labels: np.ndarray, epoch: int, at: int, rows: slice, into: HostBatch
) -> None:
    """`Source.write`; `tokens` of all examples end to end."""
    batches = order(epoch)[at : at + len(into["label"])]
    there = batches >= 0
    into["steps"][:] = np.where(there, order.size[batches], 0).max(1, keepdims=True)  # of the whole batch
    batches, there = batches[:, rows], there[:, rows]
    into["length"][there] = into["words"][there] = order.size[batches[there]]
    into["label"][there] = labels[batches[there]]
    place = np.arange(into["tokens"].shape[-1])
    inside = place < into["length"][..., None]
    begin = np.cumsum(order.size, dtype=np.int64) - order.size
    into["tokens"][inside] = tokens[(begin[batches][..., None] + place)[inside]]


def split_tenth(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(indices to train on, indices held out), int64 and rising; a tenth of 0..n-1, at least one, is held out.

    ValueError: `n` below 2.
    """
    if n < 2:
        raise ValueError(f"{n} examples cannot be split")
    order = shuffled(n, key_of(seed, 0, _SPLIT))
    held = max(1, n // 10)
    return np.sort(order[held:]), np.sort(order[:held])
