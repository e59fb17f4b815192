"""Runs of two and of four joined processes (`launch.local`), of which one is killed, stopped or late, or whose
launcher is."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

from benchmarks.faults import lives, outcome
from benchmarks.faults.kept import Kept, copy
from benchmarks.faults.lives import Ending, Job, Life
from benchmarks.faults.outcome import WRONG, Verdict
from benchmarks.faults.record import Fault, made
from benchmarks.faults.runs import STUDY

HANG, ORPHANS = 240.0, 40.0  # seconds: until a run hangs; in which processes end after their launcher
# Kind -> signals to one process, or to the launcher.
PROCESSES: dict[str, tuple[bool, tuple[int, ...]]] = {
    "process_killed": (False, (signal.SIGKILL,)),
    "process_late": (False, (signal.SIGSTOP, signal.SIGCONT)),
    "process_stopped": (False, (signal.SIGSTOP, signal.SIGKILL)),
    "launcher_killed": (True, (signal.SIGKILL,)),
    "launcher_sigterm": (True, (signal.SIGTERM,)),
}


def _job(kept: Kept, place: Path, count: int) -> Job:
    given = (f"--processes={count}", "--", "python", "-m", kept.run.module, *kept.run.arguments)
    return Job(place, "launch.local", (*given, f"--config.mesh.data={count}"))


def _children(launcher: int) -> tuple[list[int], list[int]]:
    """(the processes of the run, the one that would end them) that a launcher has started."""
    found: tuple[list[int], list[int]] = [], []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if path.read_text().rpartition(") ")[2].split()[1] == str(launcher):
                warden = b"warden.py" in path.with_name("cmdline").read_bytes()
                found[warden].append(int(path.parent.name))
    return sorted(found[0]), found[1]


def _started(life: Life, count: int) -> list[int]:
    """The processes of the run, once all of them have started; fewer if the launcher ends before."""
    until = time.monotonic() + HANG
    while len(workers := _children(life.pid)[0]) < count and _alive(life.pid) and time.monotonic() < until:
        time.sleep(0.1)
    return workers


def _ends(workers: list[int], seconds: float) -> list[int]:
    """The processes that still run after so long; they are then ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(map(_alive, workers)):
        time.sleep(0.1)
    left = [pid for pid in workers if _alive(pid)]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _whole(kept: Kept, count: int) -> tuple[dict[str, str], str, float]:
    """(content, output, seconds) of the undisturbed run in so many processes; made once."""
    place = kept.whole.with_name(f"whole{count}")
    note = place.with_name(f"whole{count}.json")
    if not note.exists():
        copy(kept.fresh, place)
        began = time.monotonic()
        ending = lives.finish(lives.begin([_job(kept, place, count)]), HANG)[0]
        if ending.status:
            raise RuntimeError(f"{kept.run.name} in {count} processes: {ending.err[-500:]}")
        note.write_text(json.dumps([outcome.content(place), ending.out, time.monotonic() - began]))
    content, out, seconds = json.loads(note.read_text())
    return content, out, seconds


def _disturb(kind: str, life: Life, count: int, seconds: float, rng: random.Random) -> tuple[Ending, list[int], bool]:
    """(how the launcher ended, processes that it left behind, whether the run was there to be disturbed)."""
    workers = _started(life, count)
    status = lives.ended(life, time.monotonic() + rng.uniform(0.0, 0.9 * seconds))
    everyone = workers + _children(life.pid)[1]
    of_launcher, numbers = PROCESSES[kind]
    running = [pid for pid in workers if _alive(pid)]
    disturbed = status is None and bool(running)
    if disturbed:
        target = life.pid if of_launcher else rng.choice(running)
        for index, number in enumerate(numbers):
            if index:
                time.sleep(rng.uniform(0.5, 4.0))
            with contextlib.suppress(ProcessLookupError):
                os.kill(target, number)
    ending = lives.finish(life, HANG)[0] if status is None else lives.endings(life, status)[0]
    return ending, _ends(everyone, ORPHANS), disturbed


def processes(kept: Kept, kind: str, number: int, place: Path) -> Fault:
    """One fault in a run of two processes, or of four where the number is odd; then the same command ends it. A run
    that was over before counts as none."""
    name = f"{kind}/{kept.run.name}/{number}"
    rng, count = random.Random(name), 4 if number % 2 else 2
    if kept.run.name == STUDY:
        count = 1  # a study trains on one process
    want, out, seconds = _whole(kept, count)
    copy(kept.fresh, place)
    ending, left, disturbed = _disturb(kind, lives.begin([_job(kept, place, count)]), count, seconds, rng)
    what = f"{count} processes, status {ending.status}{'' if disturbed else ', over before'}"
    if left:
        return made(name, Verdict(WRONG, f"{len(left)} processes ran on without their launcher"), what)
    if ending.status is None:
        return made(name, Verdict(WRONG, "the launcher hangs"), what)
    again = lives.finish(lives.begin([_job(kept, place, count)]), HANG)[0]
    plain = Ending(again.status, out if again.status == 0 else again.out, _without_prefix(again.err))
    verdict = outcome.judge([plain], [Ending(0, out, "")], outcome.content(place), want)
    return made(name, verdict, f"{what}, then {again.status}", faults=int(disturbed))


def _without_prefix(err: str) -> str:
    """The lines of process 0, without the launcher's mark."""
    return "\n".join(
        line.removeprefix("[0] ") for line in err.splitlines() if not line.startswith("[") or line[1] == "0"
    )
