"""Batches as a pure function of (seed, step): the one `Source`, and how its steps become stacks.

A source writes the rows of a few consecutive steps of one epoch into given arrays. Here steps are stacked over epochs,
padded with empty steps, split by process and made ahead of use by tf.data.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from w2v_jax.data.order import tensorflow
from w2v_jax.types import HostBatch

_THREADS = 2
_AHEAD = 2  # stacks made before they are asked for
_NICE = 5  # priority of these threads: on CPUs they get the time that training does not use


class Source(NamedTuple):
    """Batches of one split. Nothing is remembered between calls, so any step can be asked for."""

    spec: Mapping[str, jax.ShapeDtypeStruct]
    """The family's `MakeShapes`: global shape and dtype of every entry of one step."""
    steps_per_epoch: int
    write: Callable[[int, int, slice, HostBatch], None]
    """(epoch, at, rows, into): writes rows `rows` of steps at, at + 1, ... of an epoch into the arrays of `into`,
    [steps, rows, ...], which hold the empty values. Several threads call it at once."""
    empty: Mapping[str, int]  # the value of an entry where there is nothing; 0 for an entry that is not named
    report: Mapping[str, int | float]  # facts about the text, for people

    def iterate(
        self, start: int, stop: int, steps_per_call: int = 1, process_index: int = 0, process_count: int = 1
    ) -> Iterator[HostBatch]:
        """See `w2v_jax.types.Source`; tf.data makes the stacks ahead of use on two threads.

        ValueError: `process_count` does not divide the rows of a batch. Errors of `write` come through as they are.
        """
        _share(self, process_count)  # before TensorFlow is imported
        calls = max(0, -(-(stop - start) // steps_per_call))
        failures: list[Exception] = []

        def make(call: np.int64) -> list[np.ndarray]:
            _give_way()
            first = start + int(call) * steps_per_call
            end = min(first + steps_per_call, stop)
            try:
                return list(stacked(self, first, end, steps_per_call, process_index, process_count).values())
            except Exception as e:
                failures.append(e)
                raise

        tf = tensorflow()
        dtypes = [tf.as_dtype(entry.dtype) for entry in self.spec.values()]
        data = tf.data.Dataset.range(calls).map(
            lambda call: tf.numpy_function(make, [call], dtypes), num_parallel_calls=_THREADS, deterministic=True
        )
        options = tf.data.Options()
        options.threading.private_threadpool_size = _THREADS
        options.autotune.enabled = False
        try:
            for values in data.prefetch(_AHEAD).with_options(options).as_numpy_iterator():
                yield dict(zip(self.spec, values, strict=True))
        except tf.errors.OpError as e:
            raise failures[0] if failures else e from None


def stacked(
    source: Source, first: int, stop: int, steps_per_call: int, process_index: int = 0, process_count: int = 1
) -> HostBatch:
    """One stack of `Source.iterate` in plain numpy: steps first..stop-1, padded to `steps_per_call`."""
    share = _share(source, process_count)
    rows = slice(process_index * share, (process_index + 1) * share)
    out = {
        name: np.full((steps_per_call, share, *entry.shape[1:]), source.empty.get(name, 0), entry.dtype)
        for name, entry in source.spec.items()
    }
    step = first
    while step < stop:
        epoch, at = divmod(step, source.steps_per_epoch)
        run = min(stop - step, source.steps_per_epoch - at)
        source.write(epoch, at, rows, {name: a[step - first : step - first + run] for name, a in out.items()})
        step += run
    return out


def _give_way() -> None:
    """Lowers the priority of this thread alone, where the system can, unless it is low already."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < _NICE:  # to raise it again is not allowed
            os.setpriority(os.PRIO_PROCESS, thread, _NICE)


def _share(source: Source, process_count: int) -> int:
    rows = next(iter(source.spec.values())).shape[0]
    if rows % process_count:
        raise ValueError(f"{rows} rows a batch cannot be split evenly over {process_count} processes")
    return rows // process_count
