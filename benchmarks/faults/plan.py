"""The order of the faults, and how one of them is made. A name, KIND/RUN/NUMBER, gives the same fault again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.damages import TARGETS, damaged
from benchmarks.faults.kept import Kept
from benchmarks.faults.processes import PROCESSES, processes
from benchmarks.faults.record import Fault
from benchmarks.faults.stops import SIGNALS, WRITES, stopped
from benchmarks.faults.together import TOGETHER, together
from w2v_jax.errors import UserError, nearest

STOPS = (*SIGNALS, *WRITES)
KINDS = (*STOPS, *TARGETS, *TOGETHER, *PROCESSES)
STOPS_A_ROUND, TOGETHER_EVERY = 2, 3
PROCESSES_EVERY = 5  # processes are started anew, and take long; odd, as odd numbers have four processes, even ones two


class Unit(NamedTuple):
    """Faults that are made together: several damages, or one of another kind."""

    names: tuple[str, ...]
    make: Callable[[Kept, Path], list[Fault]]

    @property
    def run(self) -> str:
        return self.names[0].split("/")[1]


def unit(names: Sequence[str]) -> Unit:
    """The unit of these names: one of any kind, or several damages of one run. UserError: no such kind."""
    parts = [name.split("/") for name in names]
    if any(len(p) != 3 or p[0] not in KINDS or not p[2].isdigit() for p in parts):
        first = parts[0][0]
        raise UserError(f"--only={','.join(names)}: must be KIND/RUN/NUMBER{nearest(first, KINDS)}; kinds: {KINDS}")
    kind, number = parts[0][0], int(parts[0][2])
    if kind in TARGETS:
        wanted = [(p[0], int(p[2])) for p in parts]
        return Unit(tuple(names), lambda kept, folder: damaged(kept, wanted, folder))
    if kind in TOGETHER:
        return Unit(tuple(names), lambda kept, folder: [f for f in [together(kept, kind, number, folder / "it")] if f])
    if kind in PROCESSES:
        return Unit(tuple(names), lambda kept, folder: [processes(kept, kind, number, folder / "it")])
    return Unit(tuple(names), lambda kept, folder: [stopped(kept, kind, number, folder / "it")])


def again(names: Sequence[str]) -> list[Unit]:
    """The units of these names; damages of one run are made together. UserError: see `unit`."""
    single = [unit([name]) for name in names]
    by_run: dict[str, list[str]] = {}
    for one in single:
        if one.names[0].split("/")[0] in TARGETS:
            by_run.setdefault(one.run, []).extend(one.names)
    rest = [one for one in single if one.names[0].split("/")[0] not in TARGETS]
    return [unit(some) for some in by_run.values()] + rest


def units(runs: Sequence[str], kinds: Sequence[str] = KINDS, first: int = 0) -> Iterator[Unit]:
    """Endless rounds over all runs and kinds, numbered from `first`; kinds that take long come less often."""
    damages = [k for k in kinds if k in TARGETS]
    stops, others = [k for k in kinds if k in STOPS], [k for k in kinds if k in TOGETHER]
    for number in itertools.count(first):
        for index, run in enumerate(runs):
            if damages:
                yield unit([f"{kind}/{run}/{number}" for kind in damages])
            for turn in range(min(STOPS_A_ROUND, len(stops))):
                kind = stops[(STOPS_A_ROUND * number + turn + index) % len(stops)]
                yield unit([f"{kind}/{run}/{number}"])
            if others and (number + index) % TOGETHER_EVERY == 0:
                yield unit([f"{others[(number + index) // TOGETHER_EVERY % len(others)]}/{run}/{number}"])
        joined = [k for k in kinds if k in PROCESSES]
        if joined and number % PROCESSES_EVERY == PROCESSES_EVERY - 1:
            turn = number // PROCESSES_EVERY
            yield unit([f"{joined[turn % len(joined)]}/{runs[turn // len(joined) % len(runs)]}/{number}"])
