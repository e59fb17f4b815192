"""Kills a training with SIGKILL at random moments, continues it by the same command, and looks at what was lost.

    python -m benchmarks.kill [--kills=50] [--out=results/kill] [--override=--config.KEY=VALUE ...]

A small run on made-up text is first trained without interruption. Then the same run is killed and continued until it
ends, as often as it takes to reach so many kills. Each ended run must have the very bytes of the uninterrupted one's
vectors, and no continuation may start more than one checkpoint before the newest that was due at the kill. Exit status
1 otherwise. Writes OUT/kill.json.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from experiments.common import cli
from w2v_jax.errors import UserError
from w2v_jax.files import write_json

ROOT = Path(__file__).resolve().parent.parent
CALL = 16  # steps a call of the killed run


def define_flags() -> None:
    """A call, not an import, defines the flags."""
    flags.DEFINE_integer("kills", 50, "How often to kill.", lower_bound=1)
    flags.DEFINE_integer("interval", 256, "Steps between two checkpoints.", lower_bound=1)
    flags.DEFINE_integer("words", 400_000, "Length of the made-up text.", lower_bound=10_000)
    flags.DEFINE_integer("passes", 20, "Over the text.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of the moments.")
    flags.DEFINE_multi_string("override", [], "Further config override.")
    flags.DEFINE_string("scratch", None, "Folder for the runs; a temporary one without.")
    flags.DEFINE_string("out", "results/kill", "Folder of the summary.")


def write_text(path: Path, words: int, seed: int = 0) -> None:
    """Zipfian text in lines of 20 words."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(5, 3005)
    ids = rng.choice(len(share), (words // 20, 20), p=share / share.sum())
    names = np.array(["".join(chr(97 + int(d)) for d in f"{i:04d}") for i in range(len(share))])
    path.write_text("".join(" ".join(line) + "\n" for line in names[ids]))


def training(folder: Path, interval: int, passes: int, extra: Sequence[str]) -> list[str]:
    """The command without its --workdir."""
    return [
        *(sys.executable, "-m", "experiments.train", f"--config={ROOT / 'configs/skipgram.py'}"),
        f"--config.data.source=text:{folder / 'text.txt'}",
        f"--config.data.cache_dir={folder / 'cache'}",
        "--config.model.dim=32",
        f"--config.train.passes={float(passes)}",
        *("--config.train.batch_size=1024", f"--config.train.steps_per_call={CALL}"),
        *("--config.log.every_steps=16", "--config.log.tensorboard=false"),
        f"--config.checkpoint.every_steps={interval}",
        *extra,
    ]


def last_step(workdir: Path) -> int:
    """The last step in metrics.jsonl, 0 without any; a half-written last line does not count."""
    path, step = workdir / "metrics.jsonl", 0
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


def digest(workdir: Path) -> str:
    """Of all vectors a run exported. Raises UserError when there are none."""
    files = sorted(workdir.glob("*.bin"))
    if not files:
        raise UserError(f"{workdir}: the run ended without vectors")
    return hashlib.sha256(b"".join(f.name.encode() + f.read_bytes() for f in files)).hexdigest()


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One process of a run."""

    killed: bool
    started: int | None  # step it began to train at
    reached: int  # last step it is known to have made


@dataclasses.dataclass(frozen=True)
class Moment:
    """When to kill a process."""

    seconds: float | None  # after its start; None: so many steps after it began to train
    steps: int = 0
    delay: float = 0.0  # seconds after that


def wait_for(process: subprocess.Popen[bytes], moment: Moment, workdir: Path, log: Path) -> bool:
    """Returns True at the moment, False when the process ended before it."""
    begin, base = time.perf_counter(), None
    while process.poll() is None:
        if moment.seconds is not None:
            if time.perf_counter() - begin >= moment.seconds:
                return True
        elif base is None:
            base = started_at(log.read_text(errors="replace"))
        elif last_step(workdir) - base >= moment.steps:
            time.sleep(moment.delay)
            return process.poll() is None
        time.sleep(0.01)
    return False


def attempt(command: Sequence[str], workdir: Path, log: Path, moment: Moment | None) -> Attempt:
    """Runs the command and kills it at the moment (None: never). Raises UserError if it fails by itself."""
    with open(log, "wb") as err:
        process = subprocess.Popen([*command, f"--workdir={workdir}"], stdout=subprocess.DEVNULL, stderr=err)
        try:
            if moment is None:
                process.wait()
            else:
                wait_for(process, moment, workdir, log)
        finally:
            killed = process.poll() is None
            if killed:
                process.kill()
                process.wait()
    stderr = log.read_text(errors="replace")
    if process.returncode and not killed:
        line = (stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"the training ended with status {process.returncode}: {line} (all of it: {log})")
    return Attempt(killed, started_at(stderr), last_step(workdir))


@dataclasses.dataclass
class Tally:
    """What was seen so far."""

    kills: int = 0
    runs: int = 0
    continued: int = 0  # attempts that came to train again after a kill
    lost_steps: list[int] = dataclasses.field(default_factory=list)
    phases: dict[str, int] = dataclasses.field(default_factory=lambda: {"starting": 0, "training": 0})
    problems: list[str] = dataclasses.field(default_factory=list)


class Plan(NamedTuple):
    """What is fixed for all runs."""

    command: list[str]
    folder: Path
    interval: int  # steps between two checkpoints
    kills: int
    steps: int  # of a run
    start: float  # seconds of an uninterrupted run before its first step
    rng: random.Random

    def moment(self) -> Moment:
        """One kill in four falls before the first step, the others within two fifths of a run's steps after it."""
        if self.rng.random() < 0.25:
            return Moment(self.rng.uniform(0, self.start))
        return Moment(None, self.rng.randrange(max(1, self.steps * 2 // 5)), self.rng.uniform(0, 0.1))


def run_to_its_end(plan: Plan, tally: Tally) -> Path:
    """Kills and continues one run until it ends; spares it once `plan.kills` kills were made. Returns its workdir."""
    workdir, log = plan.folder / f"run{tally.runs}", plan.folder / f"run{tally.runs}.log"
    reached: int | None = None  # when it was last killed
    while True:
        seen = attempt(plan.command, workdir, log, plan.moment() if tally.kills < plan.kills else None)
        if reached is not None and seen.started is not None:
            tally.continued += 1
            tally.lost_steps.append(reached - seen.started)
            if reached - seen.started > plan.interval + CALL:  # logs and saves fall on the end of a call
                tally.problems.append(f"run {tally.runs}: killed at step {reached}, continued at {seen.started}")
            reached = None
        if not seen.killed:
            return workdir
        tally.kills += 1
        tally.phases["starting" if seen.started is None else "training"] += 1
        reached = max(reached or 0, seen.reached)
        print(f"kill {tally.kills}: run {tally.runs}, at step {seen.reached:,}", file=sys.stderr, flush=True)


def first_step_seconds(workdir: Path, whole: float) -> float:
    """Seconds before the first step, from the seconds of training that the run itself counted."""
    trained = float(json.loads((workdir / "result.json").read_text())["seconds"])
    return max(0.5, whole - trained)


def summarise(tally: Tally, interval: int, steps: int) -> dict[str, Any]:
    lost = tally.lost_steps
    return {
        "kills": tally.kills,
        "kills_while": tally.phases,
        "runs_ended": tally.runs,
        "continuations": tally.continued,
        "steps_a_run": steps,
        "checkpoint_interval_steps": interval,
        "lost_steps": {"mean": float(np.mean(lost)) if lost else None, "most": max(lost, default=None)},
        "lost_more_steps_than_an_interval": sum(x > interval for x in lost),
        "problems": tally.problems,
    }


def main(argv: Sequence[str]) -> int:
    """Prints the summary; 1 when a run ended differently or lost more than one checkpoint."""
    given = flags.FLAGS
    folder = Path(tempfile.mkdtemp(prefix="kill_", dir=given.scratch))
    try:
        write_text(folder / "text.txt", given.words)
        command = training(folder, given.interval, given.passes, given.override)
        attempt(command, folder / "warm", folder / "warm.log", None)  # fills the corpus and compile caches
        begin = time.perf_counter()
        attempt(command, folder / "whole", folder / "whole.log", None)
        whole = time.perf_counter() - begin
        want, steps = digest(folder / "whole"), last_step(folder / "whole")
        tally = Tally()
        if digest(folder / "warm") != want:
            tally.problems.append("two uninterrupted runs differ")
        start = first_step_seconds(folder / "whole", whole)
        print(f"uninterrupted: {steps:,} steps in {whole:.1f} s, the first after {start:.1f} s", file=sys.stderr)
        plan = Plan(command, folder, given.interval, given.kills, steps, start, random.Random(given.seed))
        while tally.kills < given.kills:
            workdir = run_to_its_end(plan, tally)
            if digest(workdir) != want:
                tally.problems.append(f"run {tally.runs}: its vectors differ from the uninterrupted run's")
            tally.runs += 1
            shutil.rmtree(workdir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    summary = summarise(tally, given.interval, steps)
    os.makedirs(given.out, exist_ok=True)
    write_json(os.path.join(given.out, "kill.json"), summary)
    print(json.dumps(summary, indent=2))
    print("FAILED" if tally.problems else "every run ended bit for bit as the uninterrupted one")
    return 1 if tally.problems else 0


if __name__ == "__main__":
    define_flags()
    cli.run(main)
