"""From steps to stacks: what every batch source shares.

A source says how one process's rows of a few consecutive steps of one epoch are written into given arrays. Here they
are stacked over epochs, padded with empty steps, split by process and made ahead of use by tf.data.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Protocol

import jax
import numpy as np

from w2v_jax.data.order import tensorflow
from w2v_jax.types import HostBatch

_THREADS = 2
_AHEAD = 2  # stacks made before they are asked for
_NICE = 5  # of these threads: on CPUs they take what training leaves of the cores


class StepWriter(Protocol):
    """A source as `iterate` needs it. `spec` and `steps_per_epoch` are those of `w2v_jax.types.Source`."""

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]: ...

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def empty(self) -> Mapping[str, int]:
        """What an entry holds where there is nothing; 0 for an entry that is not named."""
        ...

    def write(self, epoch: int, at: int, rows: slice, into: HostBatch) -> None:
        """Writes rows `rows` of steps at, at + 1, ... of an epoch, as many as `into` has, into arrays
        [steps, rows, ...] that hold the empty values. Called by several threads at once."""
        ...


def stacked(
    source: StepWriter, first: int, stop: int, steps_per_call: int, process_index: int = 0, process_count: int = 1
) -> HostBatch:
    """Steps first..stop-1 (at most S = `steps_per_call`, padded to it) of one process: entries [S, rows, ...].

    Raises:
      ValueError: `process_count` does not divide the rows of a batch.
    """
    share = _share(source, process_count)
    rows = slice(process_index * share, (process_index + 1) * share)
    out = {
        name: np.full((steps_per_call, share, *spec.shape[1:]), source.empty.get(name, 0), spec.dtype)
        for name, spec in source.spec.items()
    }
    step = first
    while step < stop:
        epoch, at = divmod(step, source.steps_per_epoch)
        run = min(stop - step, source.steps_per_epoch - at)
        source.write(epoch, at, rows, {name: a[step - first : step - first + run] for name, a in out.items()})
        step += run
    return out


def iterate(
    source: StepWriter, start: int, stop: int, steps_per_call: int, process_index: int, process_count: int
) -> Iterator[HostBatch]:
    """`w2v_jax.types.Source.iterate`. Made ahead of use by tf.data on at most two threads.

    Raises:
      ValueError: `process_count` does not divide the rows of a batch.
      Exception: what `source.write` raised, as it was.
    """
    _share(source, process_count)  # before TensorFlow is imported
    calls = max(0, -(-(stop - start) // steps_per_call))
    failures: list[Exception] = []

    def make(call: np.int64) -> list[np.ndarray]:
        _give_way()
        first = start + int(call) * steps_per_call
        end = min(first + steps_per_call, stop)
        try:
            return list(stacked(source, first, end, steps_per_call, process_index, process_count).values())
        except Exception as e:
            failures.append(e)
            raise

    tf = tensorflow()
    dtypes = [tf.as_dtype(entry.dtype) for entry in source.spec.values()]
    data = tf.data.Dataset.range(calls).map(
        lambda call: tf.numpy_function(make, [call], dtypes), num_parallel_calls=_THREADS, deterministic=True
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = _THREADS
    options.autotune.enabled = False
    try:
        for values in data.prefetch(_AHEAD).with_options(options).as_numpy_iterator():
            yield dict(zip(source.spec, values, strict=True))
    except tf.errors.OpError as e:
        raise failures[0] if failures else e from None


def _give_way() -> None:
    """Lowers the priority of this thread alone, as Linux can, unless it is as low already."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < _NICE:  # to raise it again is not allowed
            os.setpriority(os.PRIO_PROCESS, thread, _NICE)


def _share(source: StepWriter, process_count: int) -> int:
    rows = next(iter(source.spec.values())).shape[0]
    if rows % process_count:
        raise ValueError(f"{rows} rows a batch cannot be split evenly over {process_count} processes")
    return rows // process_count
