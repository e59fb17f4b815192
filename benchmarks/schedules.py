"""What goes wrong while the launcher keeps a run alive: drawn by seed, then lived through in a fake cloud."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

from launch.cloud import verbs
from launch.cloud.machine import Patience
from launch.cloud.trouble import Trouble
from launch.cloud.watch import Limits
from launch.fake import faults, standin
from launch.fake import world as w
from launch.fake.play import Play, training

# Type, slices, workers of all slices.
MACHINES = (
    ("v5litepod-8", 1, 1),
    ("v5litepod-8", 2, 2),
    ("v4-16", 1, 2),
    ("v5litepod-16", 1, 4),
)
OOM = "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Attempting to allocate 2.00G. That was not possible."
# Kind of fault -> how often it is drawn. The first ones pass or can be mended; a run must survive them.
MENDABLE = {
    "preempt": 6, "vanish": 3, "dead": 3, "deaf": 3, "reboot": 3, "kill_run": 3, "hang": 3, "install_fails": 2,
    "install_half": 2, "install_hangs": 1, "doom": 3, "answers": 4, "lock": 1,
}  # fmt: skip
FATAL = {"chips": 2, "may": 1, "mismatch": 1, "crash": 2}
REAL_LIMIT_S = 240.0  # a schedule that really takes so long is stuck
HOURS = 6.0


class Killed(BaseException):
    """The launcher is killed with SIGKILL: no handler of it runs."""


class Stuck(BaseException):
    """The launcher goes on and on."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What happens. `events` are (what is done to the launcher, before which of its lines)."""

    seed: int
    accelerator: str
    slices: int
    workers: int
    steps: int
    every: int
    keep_alive: bool  # or by hand: up, run, run again, down
    faults: tuple[dict[str, Any], ...]
    events: tuple[tuple[str, int], ...]
    leaves: bool  # after a kill nobody comes back

    @property
    def mendable(self) -> bool:
        """A run must end with its parameters, whatever happened."""
        done = {what for what, _ in self.events}
        return all(f["kind"] in MENDABLE for f in self.faults) and not self.leaves and done <= {"kill"}


class Verdict(NamedTuple):
    """How a schedule ended."""

    seed: int
    result: str  # right, wrong, or none
    reason: str  # the kind of trouble that the launcher told last; empty when it told none
    leaked: list[str]
    stuck: bool
    refused: str  # what is not as it must be; empty when all is well
    happened: list[str]
    commands: list[str]
    hours: float  # of the fake's clock
    seconds: float
    forsaken: bool = (
        False  # every worker was dead and nobody came back: the next command of a person deleted the machine
    )


def draw(seed: int) -> Schedule:
    """The schedule of a seed: the same for ever."""
    rng = random.Random(seed)
    accelerator, slices, workers = rng.choices(MACHINES, (45, 20, 25, 10))[0]
    steps = rng.randint(12, 30)
    count = rng.choices((0, 1, 2, 3, 4), (4, 26, 30, 25, 15))[0]
    kinds = {**MENDABLE, **({} if rng.random() < 0.7 else FATAL)}
    found = []
    for kind in rng.choices(list(kinds), list(kinds.values()), k=count):
        found.append({"kind": kind, **_when(rng, kind, steps), **_how(rng, kind, workers)})
    events = []
    if rng.random() < 0.4:
        events = [
            (rng.choices(("kill", "ctrl_c", "down"), (50, 35, 15))[0], rng.randint(1, 70))
            for _ in range(rng.choices((1, 2), (75, 25))[0])
        ]
    return Schedule(
        seed, accelerator, slices, workers, steps, rng.randint(3, 7), rng.random() < 0.75, tuple(found), tuple(events),
        any(e[0] == "kill" for e in events) and rng.random() < 0.3,
    )  # fmt: skip


def _when(rng: random.Random, kind: str, steps: int) -> dict[str, int]:
    if kind in ("hang", "crash", "kill_run") or rng.random() < 0.45:
        return {"step": rng.randint(1, steps - 1)}
    return {"call": rng.randint(1, 60)} if rng.random() < 0.7 else {"time": rng.randint(0, 900)}


def _how(rng: random.Random, kind: str, workers: int) -> dict[str, Any]:
    if kind == "chips":
        return {"what": rng.choice(("quota", "capacity")), "chips": rng.choice((0, 4, 64))}
    if kind == "may":
        return {"value": False}
    if kind == "answers":
        message = rng.choice(
            ("HTTPError 503: UNAVAILABLE", "INTERNAL: Internal error encountered.", "Connection reset by peer")
        )
        words = rng.choice(("", "create", "delete", "describe", "ssh", "scp"))
        return {"value": {"count": rng.randint(1, 3), "message": message, "words": words, "after": rng.random() < 0.5}}
    if kind == "doom":
        return {"message": rng.choice((faults.INTERNAL, faults.NO_CAPACITY.format(zone="us-west4-a")))}
    which: dict[str, Any] = {} if rng.random() < 0.2 else {"worker": rng.randrange(workers)}
    if kind == "deaf":
        return {**which, "seconds": rng.choice((30, 90, 200))}
    if kind == "crash":
        return {**which, "text": rng.choice((OOM, "ValueError: the shapes do not match"))}
    if kind == "mismatch":
        return {**which, "text": "jax==0.11.2\nlibtpu==0.0.99.1\n"}
    return which


class _Life:
    """One schedule, its commands and what becomes of it."""

    def __init__(self, schedule: Schedule, folder: Path, source: Path, flex_start: bool) -> None:
        self.schedule, self.flex_start = schedule, flex_start
        self.play = Play(folder, source)
        self.play.change(faults=list(schedule.faults))
        self.play.before = self.before
        self.rng = random.Random(-schedule.seed - 1)
        self.lines, self.events = 0, list(schedule.events)
        self.began = time.monotonic()
        self.commands: list[str] = []
        self.reason = ""
        self.left_behind = False
        self.keeps = schedule.keep_alive  # a user who starts by hand does as `missing` advises

    def before(self, line: list[str]) -> None:
        """Right before a line of the launcher, or a wait."""
        if time.monotonic() - self.began > REAL_LIMIT_S or self.play.now() > w.START + 5 * HOURS * 3600:
            raise Stuck
        self.lines += 1
        due = [e for e in self.events if e[1] <= self.lines]
        if not due:
            return
        self.events.remove(due[0])
        if due[0][0] == "kill":
            raise Killed
        if due[0][0] == "ctrl_c":
            raise KeyboardInterrupt
        self.quietly("down")

    def quietly(self, verb: str) -> None:
        """A command of another terminal, to which nothing happens."""
        before, self.play.before = self.play.before, lambda line: None
        try:
            self.do(verb)
        finally:
            self.play.before = before

    def do(self, verb: str) -> Trouble | None:
        schedule, play = self.schedule, self.play
        # A launcher by hand makes one machine a command; the user repeats it.
        limits = Limits(True, 20) if self.keeps else Limits(False, 3)
        patience = Patience(
            waiting_s=3600.0, reach_s=120.0, install_s=600.0, hung_s=180.0, startup_s=900.0, poll_s=30.0
        )  # fmt: skip
        asked = play.asked(
            training(schedule.steps, schedule.every, 0.003), limits, self.keeps, HOURS, patience,
            accelerator=schedule.accelerator, slices=schedule.slices, flex_start=self.flex_start,
            spot=not self.flex_start,
        )  # fmt: skip
        call = {"up": verbs.up, "run": verbs.run, "attach": verbs.attach, "down": verbs.down, "status": verbs.state}[
            verb
        ]
        self.commands.append(verb)
        return call(play.cloud("w2v"), play.state, "w2v", asked)

    def one(self, verb: str) -> str:
        """One command of the user: ok, killed, interrupted, or the kind of trouble."""
        try:
            found = self.do(verb)
        except Killed:
            return "killed"
        except KeyboardInterrupt:
            return "interrupted"
        if found is not None and found.key != "ok":
            self.reason = found.key
            return found.key
        return "ok"

    def user(self) -> bool:
        """What the user does until the run has ended; False when nobody comes back, or `down` fails."""
        ended = "ok" if self.schedule.keep_alive else self.one("up")
        for _ in range(9):
            if ended == "killed" and self.schedule.leaves:
                return False
            if ended == "interrupted":
                self.reason = "interrupted"
                if self.rng.random() < 0.5:
                    break
            ended = self.one("run")
            if ended == "ok":
                self.reason = ""
                break
            if ended == "missing":
                self.keeps = True
            if ended == "withdrawn" or (ended in ("bad_input", "oom_run", "mismatch", "no_permission", "no_quota")):
                break
        while (ended := self.one("down")) in ("killed", "interrupted"):
            pass
        return ended == "ok"

    def alone(self) -> None:
        """Nobody looks after the machine: it has to end by itself."""
        self.play.before = lambda line: None
        self.reason = self.reason or "left alone"
        self.play.real_s = 0.0 if self.forsaken() else 0.25
        while self.costs() and self.play.now() < w.START + 3 * HOURS * 3600:
            self.play.sleep(1200.0)
        self.left_behind = self.forsaken()
        if (
            self.left_behind or not self.costs()
        ):  # a request that has lost its machine holds quota until somebody comes back
            self.quietly("status")
            self.quietly("down")

    def forsaken(self) -> bool:
        """Whether the machine has no worker that lives, Cloud TPU says READY all the same, and nobody comes back."""
        world = self.play.world()
        silent = all(
            node["state"] == "READY" and set(node["dead"]) == set(range(world["requests"][node["request"]]["hosts"]))
            for node in world["nodes"].values()
        )
        return bool(world["nodes"]) and silent and not w.processes(f"{self.play.folder}/nodes")

    def costs(self) -> bool:
        """Whether a machine is there, or asked for, or a process of one runs."""
        world = self.play.world()
        alive = [r for r in world["requests"].values() if r["state"] not in ("FAILED", "SUSPENDED")]
        return bool(alive or world["nodes"] or w.processes(f"{self.play.folder}/nodes"))


def live(schedule: Schedule, folder: Path, source: Path, flex_start: bool = False) -> Verdict:
    """Lives a schedule through in a new folder, with spot machines or such that Cloud TPU itself ends.

    One end is told apart: every worker of a spot machine is dead, Cloud TPU calls it READY, and nobody comes back.
    Nothing is left that could delete it; the verdict then holds that the next `down` of a person does.
    """
    life = _Life(schedule, folder, source, flex_start)
    stuck = False
    try:
        if not life.user():
            life.alone()
    except Stuck:
        stuck = True
    play = life.play
    leaked = play.left()
    play.end()
    result = "none"
    if said := play.result():
        result = "right" if json.loads(said) == standin.expected(schedule.workers, schedule.steps) else "wrong"
    refused = ""
    if stuck or leaked or result == "wrong":
        refused = "stuck" if stuck else f"leaked {leaked}" if leaked else "wrong parameters"
    elif result == "none" and not life.reason:
        refused = "no result and no reason"
    elif result == "none" and schedule.mendable:
        refused = f"gave up what can be mended: {life.reason}"
    happened = [f["kind"] for f in play.world()["told"]]
    hours = (play.now() - w.START) / 3600
    return Verdict(
        schedule.seed, result, life.reason, leaked, stuck, refused, happened, life.commands, round(hours, 2),
        round(time.monotonic() - life.began, 2), life.left_behind,
    )  # fmt: skip


def end_all(below: Path) -> None:
    """Ends what an interrupted part left behind: processes of workers of its own folder only."""
    for pid in w.processes(str(below)):
        os.kill(pid, signal.SIGKILL)
