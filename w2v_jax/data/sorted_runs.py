"""Sorted runs of (key, count): summed in memory, spilled to disk, and merged piece by piece in bounded memory.

Counts are integers, so that their sums do not depend on how the input was cut into runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

ENTRY_BYTES = 16  # of a key and its count
# Bytes that a merge needs for each of its entries: copies, their order, sums and the result.
MERGE_BYTES = 72
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Run(NamedTuple):
    """Distinct keys in rising order, int64 [N], and their counts, int64 [N]; in memory or mapped from a file."""

    keys: np.ndarray
    counts: np.ndarray

    def slice(self, start: int, stop: int) -> Run:
        """Entries start..stop-1, in memory. Those of a file are read, not mapped: mapped pages would count as memory of
        the process."""
        return Run(*(_read(a, start, stop) for a in self))


def _read(a: np.ndarray, start: int, stop: int) -> np.ndarray:
    if isinstance(a, np.memmap):
        return np.fromfile(str(a.filename), a.dtype, stop - start, offset=start * a.itemsize)
    return a[start:stop]


def ahead(pool: Executor, make: Callable[[_In], _Out], items: Iterable[_In], most: int) -> Iterator[_Out]:
    """`make` of every item in order, at most `most` of them unfinished or unread at a time."""
    waiting: deque[Future[_Out]] = deque()
    for item in items:
        waiting.append(pool.submit(make, item))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def sum_tagged(keys: np.ndarray, bits: int, weights: np.ndarray) -> Run:
    """The sum of `weights[tag]` by key, int64. `keys` int64 [M] hold key << bits | tag in any order; overwritten."""
    keys.sort()
    values = weights[keys & ((1 << bits) - 1)]
    keys >>= bits
    return _summed(keys, values)


def _summed(keys: np.ndarray, values: np.ndarray) -> Run:
    """Sums by key of sorted keys; a running sum that wraps around is harmless, its differences are right."""
    if not len(keys):
        return Run(keys, values)
    last = np.append(np.flatnonzero(keys[1:] != keys[:-1]), len(keys) - 1)
    np.cumsum(values, out=values)
    return Run(keys[last], np.diff(values[last], prepend=0))


def merge(runs: Sequence[Run], most: int, pool: Executor, workers: int) -> Iterator[Run]:
    """The sum of all runs as consecutive pieces with rising keys. About `most` entries are merged at a time by each of
    `workers` threads of `pool`."""
    step = max(1, most // (4 * max(1, len(runs))))
    samples = [_sample(r, step) for r in runs]
    cuts = _cuts(samples, most // (2 * step))
    places = [_places(r, sample, step, cuts) for r, sample in zip(runs, samples, strict=True)]
    none = Run(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def piece(i: int) -> Run:
        parts = [none, *(r.slice(p[i], p[i + 1]) for r, p in zip(runs, places, strict=True) if p[i] < p[i + 1])]
        keys, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        order = np.argsort(keys)
        keys = keys[order]
        return _summed(keys, counts[order])

    yield from ahead(pool, piece, range(len(cuts) + 1), workers)


def _sample(run: Run, step: int) -> np.ndarray:
    """Every `step`-th key, int64; without mapping the pages between them."""
    if not isinstance(run.keys, np.memmap):
        return run.keys[step::step]
    return np.array([_read(run.keys, i, i + 1)[0] for i in range(step, len(run.keys), step)], np.int64)


def _cuts(samples: Sequence[np.ndarray], steps: int) -> np.ndarray:
    """Keys between which lie about `steps` samples of all runs, int64, distinct and rising."""
    pooled = np.sort(np.concatenate([np.zeros(0, np.int64), *samples]))
    return np.unique(pooled[max(1, steps) :: max(1, steps)])


def _places(run: Run, sample: np.ndarray, step: int, cuts: np.ndarray) -> list[int]:
    """The first entry of a run at or above each cut, between 0 and the number of entries."""
    total, found = len(run.keys), [0]
    for cut, block in zip(cuts, np.searchsorted(sample, cuts), strict=True):
        start = int(block) * step
        found.append(start + int(np.searchsorted(_read(run.keys, start, min(start + step + 1, total)), cut)))
    return [*found, total]


class Writer:
    """Appends sorted pieces to files of `size` entries each: NAME.00000.keys and .counts, and so on.

    How the pieces are cut does not change the files.
    """

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.folder, self.name, self.size, self.entries = folder, name, size, 0
        self._files: list[BinaryIO] = []

    def add(self, run: Run) -> None:
        """Appends a piece whose keys are above all earlier ones."""
        start = 0
        while start < len(run.keys):
            if self.entries % self.size == 0:
                self.close()
                number = self.entries // self.size
                self._files = [path.open("wb") for path in paths(self.folder, self.name, number)]  # noqa: SIM115
            stop = min(len(run.keys), start + self.size - self.entries % self.size)
            for f, a in zip(self._files, run, strict=True):
                f.write(np.ascontiguousarray(a[start:stop]).data)
            self.entries += stop - start
            start = stop

    def close(self) -> None:
        """Closes the last files; errors of a full disk come here at the latest."""
        for f in self._files:
            f.close()
        self._files = []

    def runs(self) -> list[Run]:
        """All files, mapped."""
        self.close()
        return opened(self.folder, self.name, self.size, self.entries)


def paths(folder: Path, name: str, number: int) -> list[Path]:
    """The files of one shard."""
    return [folder / f"{name}.{number:05d}.{kind}" for kind in Run._fields]


def opened(folder: Path, name: str, size: int, entries: int) -> list[Run]:
    """The shards of `entries` entries, mapped read-only. OSError, ValueError: one is absent or too short."""
    found: list[Run] = []
    for number in range(-(-entries // size)):
        here: Any = (min(size, entries - number * size),)
        found.append(Run(*(np.memmap(p, np.int64, "r", shape=here) for p in paths(folder, name, number))))
    return found
