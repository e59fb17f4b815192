"""Runs the recipe of a figure, command by command."""

from __future__ import annotations

import glob
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from experiments.common import cli
from experiments.figures.figure import Step
from w2v_jax.errors import UserError

_ENDINGS = ("", ".xz", ".gz")


def find(name: str, data: str | None) -> str:
    """The path or glob of a recipe's file in the folder `data`, or in a folder of it. UserError: no folder or file."""
    if data is None:
        raise UserError(f"--data is missing: the recipe needs {name}; give the folder that has it")
    for pattern, ending in itertools.product((os.path.join(data, name), os.path.join(data, "*", name)), _ENDINGS):
        found = sorted(glob.glob(pattern + ending))
        if found:
            return os.path.join(*Path(found[0]).parts[: -len(Path(name).parts)], name + ending)
    raise UserError(f"--data={data}: has no {name} ({', '.join(_ENDINGS[1:])} may follow), nor has a folder in it")


def lines(steps: Sequence[Step], run: Path, data: str | None, settings: Sequence[str]) -> list[list[str]]:
    """The arguments of `python -m` for every step. UserError: a missing file."""
    configs = os.path.relpath(cli.ROOT / "configs")

    def filled(flag: str) -> str:
        flag = re.sub("^--config=configs/", f"--config={configs}/", flag)
        return re.sub(r"\{(.+?)\}", lambda m: str(run) if m[1] == "run" else find(m[1], data), flag)

    return [
        [s.module, *map(filled, shlex.split(s.flags)), *(s.takes + change for change in settings if s.takes)]
        for s in steps
    ]


def make(steps: Sequence[Step], run: Path, data: str | None, settings: Sequence[str] = ()) -> int:
    """Runs the steps in turn, each in its own process; a second call continues: finished trainings skip themselves.

    Everything goes into the folder `run`; `data` has the files that the steps name; `settings` are KEY=VALUE of --set.
    Returns 0, or the exit status of the step that failed or was stopped. UserError, before the first step: a missing
    file, a setting that no step takes.
    """
    if settings and not any(step.takes for step in steps):
        raise UserError(f"--set={settings[0]}: this recipe has nothing to set")
    every = lines(steps, run, data, settings)
    run.mkdir(parents=True, exist_ok=True)
    for i, (step, line) in enumerate(zip(steps, every, strict=True), 1):
        say(f"step {i} of {len(steps)}: {shlex.join(['python', '-m', *line])}")
        status = call(line)
        if status not in step.may_end:
            more = "; the same command continues" if status > 128 else ""
            say(f"step {i} of {len(steps)}, {step.module}, ended with status {status}{more}")
            return status
    return 0


def say(text: str) -> None:
    """Prints progress to standard error."""
    print(text, file=sys.stderr, flush=True)


def call(line: Sequence[str]) -> int:
    """Exit status of `python -m LINE`, 128 + n after signal n; passes our SIGINT and SIGTERM on."""
    path = os.pathsep.join([str(cli.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    children: list[subprocess.Popen[bytes]] = []
    passed: list[int] = []  # signals of ours

    def passed_on(number: int, frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)
        passed.append(number)

    before = {number: signal.signal(number, passed_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        # In a session of its own: the terminal's Ctrl-C would reach it a second time.
        whole, env = [sys.executable, "-m", *line], os.environ | {"PYTHONPATH": path}
        children.append(subprocess.Popen(whole, env=env, start_new_session=True))
        for number in passed:
            children[0].send_signal(number)
        status = children[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if passed and status == 0:  # it was done all the same; the next step must not begin
        return 128 + passed[0]
    return status if status >= 0 else 128 - status
