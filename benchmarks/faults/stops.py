"""Runs that are stopped: by signals at any moment of a life, and at any of its writes, which fail or end it.

A run is stopped several times, each time in the life that continues it, and then left to end.
"""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults import inject, lives, outcome
from benchmarks.faults.kept import Kept, after_whole, copy
from benchmarks.faults.lives import Ending, Life
from benchmarks.faults.outcome import WRONG, Verdict
from benchmarks.faults.record import Fault, made
from benchmarks.faults.runs import CALL, INTERVAL, RUN

CHAIN = 4  # stops of one run


def last_step(run: Path) -> int:
    """The last step in metrics.jsonl, 0 without any; a half-written last line does not count."""
    path, step = run / "metrics.jsonl", 0
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            step = int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            continue
    return step


def started_at(stderr: str) -> int | None:
    """The step a process began to train at, None if it never came so far."""
    found = re.search(r"continuing at step ([0-9,]+)", stderr)
    if found:
        return int(found[1].replace(",", ""))
    return 0 if "compiled in" in stderr else None


def _wait(life: Life, seconds: float) -> int | None:
    return lives.ended(life, time.monotonic() + seconds)


class Stopped(NamedTuple):
    """How a life ended; `sent` is False where it ended before its signal."""

    ending: Ending
    sent: bool


def _signals(life: Life, moment: float, *numbers: int, pause: float = 0.0) -> Stopped:
    """Sends signals, the first after `moment` processor seconds and each other one `pause` later; waits for the end."""
    for index, number in enumerate(numbers):
        status = _wait(life, pause) if index else lives.at_work(life, moment)
        if status is not None:
            return Stopped(lives.endings(life, status)[0], index > 0)
        life.signal(number)
    return Stopped(lives.finish(life)[0], True)


def _at(kept: Kept, rng: random.Random) -> float:
    """Moments are spread evenly over a life."""
    return rng.uniform(0, kept.seconds)


def kill(kept: Kept, life: Life, rng: random.Random) -> Stopped:
    return _signals(life, _at(kept, rng), signal.SIGKILL)


def terminate(kept: Kept, life: Life, rng: random.Random) -> Stopped:
    return _signals(life, _at(kept, rng), signal.SIGTERM)


def interrupt_twice(kept: Kept, life: Life, rng: random.Random) -> Stopped:
    return _signals(life, _at(kept, rng), signal.SIGINT, signal.SIGINT, pause=rng.choice((0.0, 0.02, 0.3)))


def stand_still(kept: Kept, life: Life, rng: random.Random) -> Stopped:
    return _signals(life, _at(kept, rng), signal.SIGSTOP, signal.SIGCONT, pause=rng.uniform(0.1, 0.6))


def stand_and_die(kept: Kept, life: Life, rng: random.Random) -> Stopped:
    return _signals(life, _at(kept, rng), signal.SIGSTOP, signal.SIGKILL, pause=0.1)


SIGNALS: dict[str, Callable[[Kept, Life, random.Random], Stopped]] = {
    "kill": kill,
    "sigterm": terminate,
    "sigint_twice": interrupt_twice,
    "sigstop_cont": stand_still,
    "sigstop_kill": stand_and_die,
}
# Kind -> (what happens at the k-th write, error)
WRITES: dict[str, tuple[int, int]] = {
    "kill_at_write": (inject.KILL, 0),
    "torn_write": (inject.TORN, 0),
    "enospc": (inject.FROM_NOW_ON, inject.ERRORS["enospc"]),
    "enospc_once": (inject.ONCE, inject.ERRORS["enospc"]),
    "eio": (inject.ONCE, inject.ERRORS["eio"]),
}


def stopped(kept: Kept, kind: str, number: int, place: Path) -> Fault:
    """Stops one run up to CHAIN times in a way of `SIGNALS` or `WRITES`, lets it end, and judges the end."""
    name, rng = f"{kind}/{kept.run.name}/{number}", random.Random(f"{kind}/{kept.run.name}/{number}")
    copy(kept.fresh, place)
    details: list[str] = []
    lost = reached = 0
    for turn in range(CHAIN):
        # Every write in turn: its neighbours come in the following turns.
        at = 1 + (number * CHAIN + turn) * 7 % max(1, kept.writes)
        ending, what = _one_stop(kept, kind, at, place, rng)
        if what:
            details.append(what)
        lost, reached = max(lost, _lost(ending, reached)), max(reached, last_step(place / RUN))
        bad = _bad_end(ending)
        if bad is not None:
            return made(name, bad, "; ".join(details), len(details), lost)
        if ending.status == 0:
            break
    ending = lives.run(place, kept.run.module, kept.run.arguments)
    lost = max(lost, _lost(ending, reached))
    verdict = outcome.judge([ending], after_whole(kept)[:1], outcome.content(place), kept.want)
    if verdict.kind in outcome.GOOD and lost > INTERVAL + CALL:
        verdict = Verdict(WRONG, f"{lost} steps were lost, more than an interval")
    return made(name, verdict, "; ".join(details), len(details), lost, len(outcome.left_behind(place)))


def _one_stop(kept: Kept, kind: str, at: int, place: Path, rng: random.Random) -> tuple[Ending, str]:
    """(how a life ended, what was done to it: nothing where it ended before)."""
    if kind in SIGNALS:
        stopped = SIGNALS[kind](kept, lives.begin([kept.job(place)]), rng)
        return stopped.ending, f"status {stopped.ending.status}" if stopped.sent else ""
    mode, error = WRITES[kind]
    ending = lives.run(place, kept.run.module, kept.run.arguments, inject.Arm(place / RUN, at, mode, error))
    where = inject.seen()[1].replace(str(place), "")
    return ending, f"{at}: {where}, status {ending.status}" if where else ""


def _lost(ending: Ending, reached: int) -> int:
    """Steps that a continuation had to make again; a study has its metrics elsewhere, and counts none."""
    started = started_at(ending.err)
    return 0 if started is None else max(0, reached - started)


def _bad_end(ending: Ending) -> Verdict | None:
    """The verdict on a stopped life that did not end as it should."""
    if ending.status in (128 + signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT):
        if "Traceback" in ending.err:
            last = f"{ending.err.strip().splitlines()[-1][:300]} {outcome.where(ending.err)}"
            return Verdict(WRONG, f"traceback after a signal, status {ending.status}: {last}")
        return None
    verdict = outcome.refusal(ending)
    return verdict if verdict is not None and verdict.kind == WRONG else None
