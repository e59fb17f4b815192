"""Brings a machine up: waits for its request, makes it, and withdraws it at Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from launch.cloud import plan, trouble
from launch.cloud.gcloud import Cloud
from launch.cloud.machine import ABSENT, DEAD, WAITING, Look, Patience, gone, late, look, remove
from launch.cloud.plan import Machine
from launch.cloud.trouble import Stopped

_ASKS = 5  # requests without a clear answer, one after the other


class Withdrawn(KeyboardInterrupt):
    """Ctrl-C, and the request was deleted."""


def ensure(
    cloud: Cloud,
    machine: Machine,
    patience: Patience,
    may_create: Callable[[], tuple[str, float]],
    admit: Callable[[Look], Machine],
) -> None:
    """Waits until the machine is ACTIVE; asks for it when there is none, and after deleting a dead one.

    `may_create` is called right before each request; it gives the script of the workers and the seconds after which it
    ends the machine, or raises. `admit` says whose the request is that is there, or raises: it may not be used.
    Stopped: it cannot be had.
    A request that failed is deleted before this returns: it would hold quota. So is one that was seen waiting, or made
    here, at Ctrl-C (Withdrawn). What is ACTIVE, or was not seen yet, stays (KeyboardInterrupt).
    """
    mine = False  # the request was made here: if it fails, that is the answer
    state, since, asked = "", cloud.clock.now(), 0
    try:
        while True:
            found = look(cloud, machine)
            now = cloud.clock.now()
            if moved := found.state != state:
                cloud.tell(f"{machine.name}: {found.state}" + (f" ({found.error})" if found.error else ""))
            machine = admit(found)
            if moved:
                state, since = found.state, now
            if state == "ACTIVE":
                if gone(cloud, machine) is None:
                    return
                cloud.tell(f"{machine.name}: its slices are gone; it is deleted and made again")
                state = "gone"
                remove(cloud, machine, patience)
            elif state in DEAD:
                _clear(cloud, machine, patience, found, mine)
            elif state == ABSENT and mine and now - since < 60:  # it may not be listed yet
                cloud.clock.sleep(min(patience.poll_s, 10))
            elif state == ABSENT:
                script, seconds = may_create()
                mine, asked, since = True, asked + 1, cloud.clock.now()
                line = plan.create(machine, script, seconds, patience.waiting_s)
                _ask(cloud, line, machine, last=asked == _ASKS)
            elif now - since > patience.of(state):
                _give_up(cloud, machine, patience, state)
            else:
                cloud.clock.sleep(patience.poll_s)
    except KeyboardInterrupt as e:
        if state in ("", "ACTIVE"):  # it may have a run
            raise
        withdraw(cloud, machine, patience)
        raise Withdrawn(*e.args) from None


def _clear(cloud: Cloud, machine: Machine, patience: Patience, found: Look, mine: bool) -> None:
    """Deletes a dead machine. Stopped: it was made here, and why it died."""
    remove(cloud, machine, patience)
    if mine and found.state == "FAILED":
        raise Stopped(trouble.of_gcloud(found.error, machine, f"the request for {machine.name}"))
    if mine:
        raise Stopped(trouble.preempted(machine))


def _give_up(cloud: Cloud, machine: Machine, patience: Patience, state: str) -> NoReturn:
    """Stopped: the phase took too long; a request that has no machine yet is deleted."""
    if state == "PROVISIONING" or state in WAITING:
        remove(cloud, machine, patience)
    raise Stopped(late(machine, state, patience.of(state)))


def _ask(cloud: Cloud, line: plan.Line, machine: Machine, last: bool) -> None:
    """One request. After an error that passes, `ensure` looks whether it was taken, and asks again unless it was the
    `last` time. Stopped: it is refused."""
    done = cloud(line, 300, attempts=1)
    if done.status and (last or not done.passing) and "ALREADY_EXISTS" not in done.err:
        raise Stopped(trouble.of_gcloud(done.err, machine, f"asking for {machine.name}"))
    if done.passing:
        cloud.tell(f"{machine.name}: gcloud gave no clear answer; looking whether the request was taken")


@contextlib.contextmanager
def _undisturbed(cloud: Cloud, machine: Machine) -> Iterator[None]:
    """Ctrl-C and SIGTERM end nothing meanwhile; they are answered."""

    def answer(number: int, frame: FrameType | None) -> None:
        cloud.tell(f"{machine.name}: it is being deleted; until that is done it costs money")

    main = threading.current_thread() is threading.main_thread()
    before = {n: signal.signal(n, answer) for n in (signal.SIGINT, signal.SIGTERM)} if main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def withdraw(cloud: Cloud, machine: Machine, patience: Patience) -> None:
    """`remove`, for an interrupted request: it may still be on its way, so that this looks twice."""
    cloud.tell(f"{machine.name}: interrupted; the request is withdrawn")
    with _undisturbed(cloud, machine):
        remove(cloud, machine, patience)
        cloud.clock.sleep(10)
        remove(cloud, machine, patience)
