"""Every command line of `tests/bad_inputs.py` ends with status 2 and one line, soon, and leaves nothing behind."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bad_files import files
from tests.bad_inputs import cases
from tests.commands import ROOT, refused, run

pytestmark = pytest.mark.xdist_group("bad_table")  # one worker: they share a folder

CASES = cases()
SECONDS, WAITED = 20, 120  # most seconds of a command that computes; and where the machine is busy, or it waits
NAME = os.fsdecode(b"caf\xe9")  # bytes that are not UTF-8, as Python holds them


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    files(folder)
    return folder


@pytest.fixture
def clock() -> Iterator[None]:
    """Ends a test that takes too long."""

    def late(number: int, frame: Any) -> None:
        raise AssertionError(f"not refused within {SECONDS} s")

    limits = {signal.SIGPROF: (signal.ITIMER_PROF, SECONDS), signal.SIGALRM: (signal.ITIMER_REAL, WAITED)}
    before = {number: signal.signal(number, late) for number in limits}
    for timer, seconds in limits.values():
        signal.setitimer(timer, seconds)
    yield
    for number, (timer, _) in limits.items():
        signal.setitimer(timer, 0)
        signal.signal(number, before[number])


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file, and of every link."""
    found = [os.path.join(top, name) for top, _, names in os.walk(folder) for name in names]
    return {path: (os.lstat(path).st_size, os.lstat(path).st_mtime_ns) for path in found}


def test_the_table_is_long() -> None:
    assert len(CASES) == len(set(CASES)) >= 150


@pytest.mark.parametrize(("line", "part"), CASES, ids=[f"{i}" for i in range(len(CASES))])
@pytest.mark.usefixtures("clock")
def test_refused(line: str, part: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)  # where a default such as `runs/demo` would be made
    before = listing(home)
    words = shlex.split(line.format(h=home, c=ROOT / "configs", bad=NAME))
    refused(run(*words), part, alone=False)
    assert listing(home) == before
