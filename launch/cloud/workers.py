"""One verb of the agent on every worker of every slice, and what each worker answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from launch.cloud import plan
from launch.cloud.gcloud import Cloud, Done
from launch.cloud.plan import Machine

LINES = 40  # of a worker's log that a look asks for


class Report(NamedTuple):
    """What one worker answered, or that it did not."""

    slice: int
    worker: int
    answer: dict[str, Any] | None  # of the agent; None: no answer came
    said: str = ""  # what came instead

    @property
    def state(self) -> str:
        """none, installing, running, ended, lost (its supervisor was killed), or missing (no answer)."""
        return str(self.answer.get("state", "none")) if self.answer else "missing"

    @property
    def failed(self) -> bool:
        return self.state == "ended" and bool(self.answer and self.answer.get("status"))

    @property
    def tail(self) -> list[str]:
        return list(self.answer.get("tail", [])) if self.answer else []

    def name(self, slices: int) -> str:
        return f"worker {self.worker}" if slices == 1 else f"slice {self.slice} worker {self.worker}"


def _each(machine: Machine, work: Any) -> list[Any]:
    """`work(i)` of every slice, some of them at once."""
    if machine.slices == 1:
        return [work(0)]
    with ThreadPoolExecutor(min(machine.slices, 16)) as pool:
        return list(pool.map(work, range(machine.slices)))


def _parse(text: str) -> dict[str, Any] | None:
    for line in reversed(text.splitlines()):
        if line.startswith("W2V_JAX {"):
            try:
                found: dict[str, Any] = json.loads(line.removeprefix("W2V_JAX "))
                return found
            except ValueError:
                return None
    return None


def ask(
    cloud: Cloud, machine: Machine, verb: str, *words: str, seconds: float = 120, attempts: int = 2
) -> tuple[list[Report], list[Done]]:
    """(the report of every worker in order, how the lines ended, one a slice)."""

    folders = [cloud.folder / "ssh" / node for node in machine.nodes]
    command = plan.agent(verb, *words)
    lines = [plan.remote(machine, folder.name, command, str(folder)) for folder in folders]
    for line in lines:
        cloud.show(line)

    def of_slice(i: int) -> tuple[list[Report], Done]:
        folder = folders[i]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        done = cloud(lines[i], seconds, attempts)
        reports = []
        for worker in range(machine.piece.hosts):
            file = folder / f"{worker}.log"
            text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
            answer = _parse(text)
            if answer is None and plan.AGENT in text:  # a new machine: Python finds no agent yet
                answer = {"state": "none"}
            reports.append(Report(i, worker, answer, text.strip()[-2000:] or done.err.strip()[-2000:]))
        return reports, done

    found = _each(machine, of_slice)
    return [report for reports, _ in found for report in reports], [done for _, done in found]


def new_lines(before: Sequence[str], after: Sequence[str], gap: str = "...") -> list[str]:
    """The lines of `after`, the end of a log, that follow `before`, an earlier end of it. They begin with `gap` where
    lines between the two, or before the first look, are not there."""
    for start in range(len(before)):
        overlap = before[start:]
        if list(after[: len(overlap)]) == list(overlap):
            return list(after[len(overlap) :])
    return [*([gap] if len(after) >= LINES else []), *after]


def copy(cloud: Cloud, machine: Machine, files: Sequence[str], seconds: float = 300) -> list[Done]:
    """Copies files to every worker; how the lines ended, one a slice."""
    lines = [plan.copy(machine, node, files) for node in machine.nodes]
    for line in lines:
        cloud.show(line)
    done: list[Done] = _each(machine, lambda i: cloud(lines[i], seconds))
    return done
