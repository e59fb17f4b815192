"""The undisturbed runs, and runs that were stopped half-way: made once, then copied for each fault."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.faults import inject, lives, outcome
from benchmarks.faults.lives import Ending, Job
from benchmarks.faults.runs import RUN, Small, place_texts

SHARE = 0.6  # of a run's writes, at which the half run is killed


class Kept(NamedTuple):
    """What is known of one undisturbed run."""

    run: Small
    fresh: Path  # texts only
    whole: Path
    half: Path
    want: dict[str, str]  # see `outcome.content`
    endings: list[Ending]  # of its command, of its command again, and of the command that uses the run
    writes: int
    seconds: float  # of processor, of a life with warm caches

    def job(self, place: Path) -> Job:
        return Job(place, self.run.module, self.run.arguments)

    def jobs(self, place: Path) -> list[Job]:
        """The run's command, then the one that uses the finished run."""
        return [self.job(place)] + ([Job(place, *self.run.use)] if self.run.use else [])


def copy(source: Path, target: Path) -> Path:
    """A fresh copy of a run's folder."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    return target


def keep(run: Small, folder: Path) -> Kept:
    """Makes the kept folders of a run, or reads them where an earlier part of the campaign has made them.

    RuntimeError: the undisturbed run fails, or does not end twice with the same.
    """
    fresh, whole, half, note = (folder / run.name / name for name in ("fresh", "whole", "half", "kept.json"))
    kept = Kept(run, fresh, whole, half, {}, [], 0, 0.0)
    if note.exists():
        told = json.loads(note.read_text())
        return kept._replace(**told | {"endings": [Ending(*e) for e in told["endings"]]})
    shutil.rmtree(folder / run.name, ignore_errors=True)
    place_texts(fresh)
    first = _made(kept, copy(fresh, folder / run.name / "first"))[1]  # fills the cache of compiled programs
    begun = _worked()
    endings, want, writes = _made(kept, copy(fresh, whole))
    seconds = _worked() - begun
    if first != want:
        raise RuntimeError(f"{run.name}: two undisturbed runs differ: {sorted(set(first.items()) ^ set(want.items()))}")
    shutil.rmtree(folder / run.name / "first")
    again = lives.run(whole, run.module, run.arguments)
    used = [lives.run(whole, *run.use)] if run.use else []
    if any(e.status != 0 for e in (again, *used)):
        raise RuntimeError(f"{run.name}: {[e.err[-300:] for e in (again, *used) if e.status != 0]}")
    copy(fresh, half)
    lives.run(half, run.module, run.arguments, inject.Arm(half / RUN, int(SHARE * writes), inject.KILL))
    told = {"want": want, "endings": [*endings, again, *used], "writes": writes, "seconds": seconds}
    note.write_text(json.dumps(told, indent=1))
    return kept._replace(**told)


def _worked() -> float:
    """Processor seconds of all children that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _made(kept: Kept, place: Path) -> tuple[list[Ending], dict[str, str], int]:
    ending = lives.run(place, kept.run.module, kept.run.arguments, inject.Arm(place / RUN))
    if ending.status != 0:
        raise RuntimeError(f"{kept.run.name}: undisturbed, status {ending.status}: {ending.err[-500:]}")
    return [ending], outcome.content(place), inject.seen()[0]


def after_whole(kept: Kept) -> list[Ending]:
    """How the commands of `Kept.jobs` end over the finished, undamaged run."""
    return kept.endings[1:]


def describe(kept: Kept) -> dict[str, Any]:
    """For the report."""
    return {"writes": kept.writes, "seconds": round(kept.seconds, 2)}
