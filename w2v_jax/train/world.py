"""The processes that train one model: all that have joined, or this one `alone`, which then trains a model of its own.

Everything that asks which process this is, how many there are or which devices they have asks here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from unittest import mock

import jax
import numpy as np
from jax._src import distributed  # the store of names that JAX's own multi-host helpers use has no public name
from jax.experimental import multihost_utils

from w2v_jax.data.meeting import Crew
from w2v_jax.errors import Diverged, UserError
from w2v_jax.train import stop

T = TypeVar("T")
POLL_S = 0.2

_alone: list[bool] = []  # one entry for each `alone` that is open
_keys = itertools.count(1)  # of names that all processes ask for in the same order


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within it this process is the only one, and has its own devices: it must not wait for the others."""
    own = contextlib.nullcontext() if _alone or jax.process_count() == 1 else _own_signals()
    _alone.append(True)
    try:
        # Orbax asks JAX for these, and would wait for the other processes, or refuse arrays that only this one has. Its
        # MultiprocessingOptions (active_processes, primary_host) end the waiting alone: in version 0.12.8 arrays of one
        # process are refused wherever JAX has several, and numpy arrays are written by process 0 only.
        with own, mock.patch.multiple(jax, process_index=lambda: 0, process_count=lambda: 1):
            yield
    finally:
        _alone.pop()


def _own_signals() -> contextlib.AbstractContextManager[Any]:
    """Names of this process's own for what the threads of an Orbax save tell one another through the store of all
    processes: it counts its saves from 0 in each, and one would write where only another has made the folder yet."""
    from orbax.checkpoint._src.futures import future  # no public name; few commands have several processes

    contract, name = future.AwaitableSignalsContract, "awaitable_signals_contract_prefix"
    return mock.patch.object(contract, name, f"{getattr(contract, name)}_alone_{jax.process_index()}")


def index() -> int:
    """Number of this process, from 0. Process 0 writes the files of a run."""
    return 0 if _alone else jax.process_index()


def count() -> int:
    """Number of processes."""
    return 1 if _alone else jax.process_count()


def devices() -> list[jax.Device]:
    """The devices of all of them."""
    return jax.local_devices() if _alone else jax.devices()


def largest(number: int) -> int:
    """The largest of all processes' numbers, so that all take the same branch."""
    return max(gather(number)) if count() > 1 else number


def gather(number: int) -> list[int]:
    """The numbers (32 bits) of all processes, in order."""
    return [int(n) for n in np.ravel(multihost_utils.process_allgather(np.int32(number)))]


def crew() -> Crew | None:
    """The processes as makers of a corpus; None for a lone one."""
    return Crew(index(), count(), gather) if count() > 1 else None


def fresh(name: str) -> str:
    """A key that was never used before: the same in all processes, which must ask in the same order."""
    return f"w2v_jax/{name}/{next(_keys)}"


def from_first(make: Callable[[], T]) -> T:
    """What `make` returns in process 0, in every process; the others wait, however long it takes. It must be a value
    that JSON has, and `make` runs `alone`.

    Raises UserError, OSError or Diverged of `make`, as UserError in the others; and in every process
    KeyboardInterrupt(n) when signal n came to any of them.
    """
    if count() == 1:
        return make()
    key = fresh("from_first")
    if index():
        return _answered(key)
    told: dict[str, Any] = {"error": "ended by an error that is told there"}
    try:
        with alone(), ended_together(f"{key}/stop"):
            told = {"value": make()}
    except (UserError, OSError, Diverged) as e:
        told = {"error": str(e)}
        raise
    except KeyboardInterrupt as e:
        told = {"signal": int(e.args[0] if e.args else signal.SIGINT)}
        raise
    finally:
        _client().key_value_set(key, json.dumps(told))
    return told["value"]  # type: ignore[no-any-return]


def _answered(key: str) -> Any:
    """What process 0 has told under a key. A signal that comes meanwhile is passed on to it."""
    passed_on = False
    with stop.signals() as seen:
        while True:
            if seen and not passed_on:
                tell_stop(f"{key}/stop", seen[0])
                passed_on = True
            if answer := _told(key):
                told = json.loads(answer[0])
                break
            time.sleep(POLL_S)
    if "signal" in told:
        raise KeyboardInterrupt(told["signal"])
    if "error" in told:
        raise UserError(f"process 0: {told['error']}")
    return told["value"]


def tell_stop(key: str, number: int) -> None:
    """Has signal `number` sent to every process that is in `ended_together(key)`."""
    _client().key_value_set(key, str(int(number)), allow_overwrite=True)


@contextlib.contextmanager
def ended_together(key: str) -> Iterator[None]:
    """Within it this process gets the signal that another tells under the key, as if it were its own."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            told = _told(key)
            if told:
                if not over.is_set() and not stop.came():  # a second one would cut a save short
                    os.kill(os.getpid(), int(told[0]))
                return

    thread = threading.Thread(target=watch, name="ended together", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def meet(key: str) -> None:
    """Waits until every process has called it, or passes on a stop that one has told: KeyboardInterrupt(n)."""
    _client().key_value_set(f"{key}/met/{jax.process_index()}", "")
    for other in range(jax.process_count()):
        while not _told(f"{key}/met/{other}"):
            stopped = _told(key)
            if stopped:
                raise KeyboardInterrupt(int(stopped[0]))
            time.sleep(POLL_S)


def _told(key: str) -> list[str]:
    """The value of a key, or [] where it has none yet."""
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        return [_client().key_value_try_get(key)]
    return []


def _client() -> Any:
    return distributed.global_state.client
