"""Seekable batches of centre words with their surroundings: a pure function of (seed, step).

The text of epoch e is all blocks of whole documents in an order drawn from (seed, e). Each token is kept or not by a
hash of (seed, e, its index in the file). Kept tokens form the epoch's stream, and step s holds the next B of them as
centres. Rows overlap by a halo of `window` tokens on each side, so that no row or step cuts a window.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import jax
import numpy as np

from w2v_jax.data.corpus import Tokens
from w2v_jax.data.hashing import key_of, thresholds, uniform_hash
from w2v_jax.data.order import cut_blocks, shuffled
from w2v_jax.data.pipeline import Source
from w2v_jax.types import HostBatch

_SCAN = 1 << 20  # tokens counted at a time
_KEEP, _REACH, _ORDER = 1, 2, 3  # what a hash is drawn for


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Kept tokens of one block in one epoch, K of them."""

    tokens: np.ndarray  # int32 [K]
    doc: np.ndarray  # int32 [K] ordinal of the document, or of the part of it that lies in this block
    position: np.ndarray  # int64 [K] index in the token file


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """One epoch: the order of its blocks and where each begins. N blocks."""

    order: np.ndarray  # int64 [N]
    kept: np.ndarray  # int64 [N + 1] kept tokens before the i-th block of the order
    raw: np.ndarray  # int64 [N + 1] raw tokens before it


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """The kept tokens of every epoch and their rows; see `window_source`."""

    tokens: Tokens
    keep: np.ndarray
    window: int
    segment: int
    batch_size: int
    seed: int
    block_tokens: int
    shuffle: bool
    lanes: bool = False
    documents: bool = False  # whether a batch says of which document each centre is
    _lock: Any = dataclasses.field(default_factory=threading.Lock, repr=False)  # two threads must not count one epoch

    @cached_property
    def expected_kept(self) -> tuple[float, float]:
        """Mean and standard deviation of the tokens that an epoch keeps."""
        counts = np.zeros(len(self.keep), np.int64)
        for start in range(0, len(self.tokens.tokens), _SCAN):
            counts += np.bincount(self.tokens.tokens[start : start + _SCAN], minlength=len(self.keep))
        return float(counts @ self.keep), float(np.sqrt(counts @ (self.keep * (1 - self.keep))))

    @cached_property
    def steps_per_epoch(self) -> int:
        """Steps that hold every epoch (odds against it below 1 in 10**8), and never more than all tokens need."""
        mean, deviation = self.expected_kept
        needed = int(np.ceil((mean + 6 * deviation) / self.batch_size))
        return max(1, min(-(-len(self.tokens.tokens) // self.batch_size), needed))

    @cached_property
    def _cuts(self) -> tuple[np.ndarray, np.ndarray]:
        return cut_blocks(self.tokens.offsets, self.block_tokens)

    @cached_property
    def _first_doc(self) -> tuple[np.ndarray, np.ndarray]:
        """(document of each block's first token, ordinal of its part): ordinals rise along the file without repeats."""
        edges, inside = self._cuts
        first = np.searchsorted(self.tokens.offsets, edges[:-1], "right") - 1
        return first, first + np.cumsum(inside)

    @cached_property
    def _thresholds(self) -> np.ndarray | None:
        return None if (self.keep >= 1).all() else thresholds(self.keep)

    @cached_property
    def _plan(self) -> Any:
        return lru_cache(maxsize=2)(self._make_plan)

    @cached_property
    def _block(self) -> Any:
        return lru_cache(maxsize=16)(self._make_block)  # neighbouring calls share the blocks at their edges

    def plan(self, epoch: int) -> Plan:
        """The blocks of an epoch, counted in one pass over the tokens; two epochs are cached.

        RuntimeError: the epoch keeps more tokens than `steps_per_epoch` steps hold (odds below 1 in 10**8).
        """
        with self._lock:
            plan: Plan = self._plan(epoch)
            return plan

    def _make_plan(self, epoch: int) -> Plan:
        edges, _ = self._cuts
        sizes = np.diff(edges)
        kept = sizes if self._thresholds is None else self._count(epoch, edges)
        order = np.arange(len(sizes))
        if self.shuffle and len(sizes) > 1:
            order = shuffled(len(sizes), key_of(self.seed, epoch, _ORDER))
        starts = [np.concatenate([[0], np.cumsum(a[order])]) for a in (kept, sizes)]
        if starts[0][-1] > self.steps_per_epoch * self.batch_size:
            raise RuntimeError(
                f"epoch {epoch} keeps {starts[0][-1]} tokens, more than {self.steps_per_epoch} steps of "
                f"{self.batch_size} hold; use another train.seed"
            )
        return Plan(order, starts[0], starts[1])

    def _count(self, epoch: int, edges: np.ndarray) -> np.ndarray:
        """Kept tokens of each block."""
        running = np.zeros(len(edges), np.int64)
        before = 0
        for start in range(0, int(edges[-1]), _SCAN):
            stop = min(start + _SCAN, int(edges[-1]))
            total = np.cumsum(self._mask(epoch, start, stop), dtype=np.int64)
            a, b = np.searchsorted(edges, (start, stop), "right")  # edges in (start, stop]
            running[a:b] = before + total[edges[a:b] - start - 1]
            before += int(total[-1])
        return np.diff(running)

    def _mask(self, epoch: int, start: int, stop: int) -> np.ndarray:
        assert self._thresholds is not None
        drawn = uniform_hash(key_of(self.seed, epoch, _KEEP), start, stop)
        return drawn <= self._thresholds.take(self.tokens.tokens[start:stop])

    def _make_block(self, epoch: int, block: int) -> Block:
        edges = self._cuts[0]
        start, stop = int(edges[block]), int(edges[block + 1])
        first, ordinal = (int(a[block]) for a in self._first_doc)
        offsets = self.tokens.offsets
        last = int(np.searchsorted(offsets, stop, "left"))
        bounds = np.clip(offsets[first : last + 1], start, stop)
        doc = np.repeat(np.arange(ordinal, ordinal + len(bounds) - 1, dtype=np.int32), np.diff(bounds))
        tokens = self.tokens.tokens[start:stop].astype(np.int32)
        if self._thresholds is None:
            return Block(tokens, doc, np.arange(start, stop))
        kept = np.flatnonzero(self._mask(epoch, start, stop))
        return Block(tokens[kept], doc[kept], kept + start)

    def _stream(self, epoch: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Kept tokens start..stop-1 of an epoch: (tokens, doc, position in the file, position in the epoch).

        Places outside the text have token 0, doc -1 and position -1. Their position in the epoch is its beginning or
        its end, so that differences of positions count every raw token once.
        """
        plan, size = self.plan(epoch), stop - start
        total = int(plan.kept[-1])
        tokens, doc = np.zeros(size, np.int32), np.full(size, -1, np.int32)
        position, place = np.full(size, -1, np.int64), np.zeros(size, np.int64)
        place[max(0, total - start) :] = plan.raw[-1]
        lo, hi = max(start, 0), min(stop, total)
        i = int(np.searchsorted(plan.kept, lo, "right")) - 1
        while lo < hi:
            number = int(plan.order[i])
            block, base = self._block(epoch, number), int(plan.kept[i])
            end = min(hi, int(plan.kept[i + 1]))
            into, out_of = slice(lo - start, end - start), slice(lo - base, end - base)
            tokens[into], doc[into] = block.tokens[out_of], block.doc[out_of]
            position[into] = block.position[out_of]
            place[into] = position[into] + (int(plan.raw[i]) - int(self._cuts[0][number]))
            lo, i = end, i + 1
        if start <= 0 < stop:
            place[-start] = 0  # tokens dropped before the first kept one belong to the first row
        return tokens, doc, position, place

    def _make_rows(self, epoch: int, start: int, count: int) -> HostBatch:
        """`count` consecutive rows, the first with its centres from kept token `start` on."""
        w, seg = self.window, self.segment
        centres = count * seg
        tokens, doc, position, place = self._stream(epoch, start - w, start + centres + w)
        wide = np.arange(count)[:, None] * seg + np.arange(seg + 2 * w)
        middle = position[w : w + centres]
        drawn = uniform_hash(key_of(self.seed, epoch, _REACH), np.maximum(middle, 0))
        reach = ((drawn.astype(np.uint64) * np.uint64(w)) >> np.uint64(32)).astype(np.int32) + 1
        reach[middle < 0] = 0
        made = {
            "tokens": tokens[wide],
            "doc": doc[wide],
            "reach": reach.reshape(count, seg),
            "words": np.diff(place[w : w + centres + 1 : seg]).astype(np.int32),
        }
        if self.documents:
            owner = np.searchsorted(self.tokens.offsets, np.maximum(middle, 0), "right") - 1
            made["document"] = owner.astype(np.int32).reshape(count, seg)
        return made

    def write(self, epoch: int, at: int, rows: slice, into: HostBatch) -> None:
        """See `w2v_jax.data.pipeline.Source`."""
        steps, share = into["words"].shape
        if self.lanes:
            for lane in range(rows.start, rows.start + share):
                begin = (lane * self.steps_per_epoch + at) * self.segment
                for name, values in self._make_rows(epoch, begin, steps).items():
                    into[name][:, lane - rows.start] = values
            return
        # One process makes all its steps at once; the rows of one of several are apart from step to step.
        run = steps if share == self.batch_size // self.segment else 1
        for i in range(0, steps, run):
            begin = (at + i) * self.batch_size + rows.start * self.segment
            for name, values in self._make_rows(epoch, begin, run * share).items():
                into[name][i : i + run] = values.reshape(run, share, *values.shape[1:])


def window_source(
    tokens: Tokens,
    keep: np.ndarray,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    *,
    seed: int,
    block_tokens: int,
    shuffle: bool = True,
    lanes: bool = False,
) -> Source:
    """Batches of centre words with up to W neighbours on each side, subsampled before windows are formed.

    Entries of a step, R rows of L centres (`shapes` states R, L and W):
      tokens int32 [R, L + 2W]: kept tokens; the centres are columns W..W+L-1, the rest overlaps neighbouring rows.
      doc int32 [R, L + 2W]: ordinal of the token's document, -1 where there is no token. A window holds only places
        of equal ordinal. A document that is split over two blocks counts as two.
      reach int32 [R, L]: the dynamic window, uniform on 1..W; 0 where there is no centre.
      words int32 [R]: raw tokens of this row, dropped ones included; an epoch's sum is exactly the token count.
      document int32 [R, L], where `shapes` has it: number of the centre's document in `tokens`; 0 without a centre.

    Of T tokens, an epoch keeps E on average, with standard deviation s. It has ceil((E + 6 s) / (R L)) steps, at most
    ceil(T / (R L)); the end of its last steps is padding. `Source.report` has E: 'expected_kept'.

    Args:
      keep: float64 [V], probability with which each word is kept (subsampling, Mikolov et al. 2013, arXiv 1310.4546).
        ValueError: one is outside 0..1.
      seed: of the order of blocks, the kept tokens and the windows; 0 to 2**31 - 1.
      block_tokens: documents are shuffled in blocks of about this size.
      shuffle: False keeps the order of the file in every epoch.
      lanes: row r of a step goes on where row r of the step before ended, so that a document lies in many steps. False:
        the rows of a step follow each other, and a document lies in one or two steps.
    """
    keep = np.asarray(keep, np.float64)
    if not ((keep >= 0) & (keep <= 1)).all():
        raise ValueError("keep must hold probabilities between 0 and 1")
    rows, segment = shapes["reach"].shape
    window = (shapes["tokens"].shape[1] - segment) // 2
    batch, named = rows * segment, "document" in shapes
    text = Windows(tokens, keep, window, segment, batch, seed, block_tokens, shuffle, lanes, named)
    report = {"expected_kept": text.expected_kept[0]}
    return Source(shapes, text.steps_per_epoch, text.write, {"doc": -1}, report)
