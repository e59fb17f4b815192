"""One line of the results file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.faults.outcome import Verdict


class Fault(NamedTuple):
    """One fault, or a chain of them on one run, with the verdict on its end."""

    name: str  # KIND/RUN/NUMBER, which gives it again
    faults: int  # in the chain
    verdict: str
    why: str = ""
    detail: str = ""  # what was done, for people
    lost: int = 0  # most steps that had to be made again after a stop
    left: int = 0  # files under temporary names that were still there at the end

    @property
    def kind(self) -> str:
        return self.name.split("/")[0]

    @property
    def run(self) -> str:
        return self.name.split("/")[1]


def made(name: str, verdict: Verdict, detail: str, faults: int = 1, lost: int = 0, left: int = 0) -> Fault:
    return Fault(name, faults, verdict.kind, verdict.why, detail, lost, left)


def write(path: Path, faults: Iterable[Fault]) -> None:
    """Appends lines."""
    with open(path, "a", encoding="utf-8") as f:
        for fault in faults:
            f.write(json.dumps(fault._asdict()) + "\n")


def read(path: Path) -> list[Fault]:
    """The faults of a file, the last of each name; a line that was cut short is left out."""
    found: dict[str, Fault] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            values: dict[str, Any] = json.loads(line)
            found[values["name"]] = Fault(**values)
        except (ValueError, TypeError, KeyError):
            continue
    return list(found.values())
