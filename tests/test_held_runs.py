"""What must never change: runs that older code began are continued and evaluated with the same result.

Each folder of `tests/held` holds a tiny run of one family, stopped half-way by a signal, as the code of commit 5ddcd89
left it, and what that code made of it. A copy is continued here by the same command, then evaluated.

On the processor and the versions that `expected.json` names, all is the same bit for bit. Elsewhere vector code and
libraries round in another way: there the numbers in the files must be the same to 1e-4, and digests and printed words
are left out. The batches are integers, or counted out, and are the same everywhere. Keys that the files have gained
since are no difference.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.held import runs

pytestmark = pytest.mark.xdist_group("held")  # one worker: all runs come from one process


def differences(expected: Any, found: Any, exact: bool, where: str = "") -> Iterator[str]:
    """Places where JSON differs from what is expected. Further keys of an object are none."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key in found:
                yield from differences(value, found[key], exact, f"{where}/{key}")
            else:
                yield f"{where}/{key} is missing"
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, pair in enumerate(zip(expected, found, strict=True)):
            yield from differences(*pair, exact, f"{where}/{index}")
    elif isinstance(expected, float) and isinstance(found, float) and not exact:
        if not math.isclose(expected, found, rel_tol=1e-4, abs_tol=1e-6):
            yield f"{where}: {found!r} is not near {expected!r}"
    elif type(expected) is not type(found) or expected != found:
        yield f"{where}: {found!r}, not {expected!r}"


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What becomes of copies of all runs, by name. One process makes them all: its compiler has the flags of old.

    Where no machine is the same, the last bits differ with any flags: there the suite's own take half of the time.
    """
    path = tmp_path_factory.mktemp("held") / "again.json"
    environment = runs.commands.environment(devices=8)
    if any(runs.machine() == expected_of(name)["machine"] for name in runs.RUNS):
        environment |= {"XLA_FLAGS": runs.XLA_FLAGS}
    command = [sys.executable, "-m", "tests.held.again", str(path)]
    done = subprocess.run(command, cwd=runs.commands.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(runs.read(path))


def expected_of(name: str) -> dict[str, Any]:
    return dict(runs.read(runs.HELD / name / runs.EXPECTED))


@pytest.mark.parametrize("name", runs.RUNS)
def test_a_held_run_is_continued_and_evaluated_as_ever(name: str, again: dict[str, Any]) -> None:
    held, done = expected_of(name), again[name]
    saved = runs.commands.checkpoints(runs.HELD / name / runs.RUN)
    assert done["status"] == 0 and f"continuing at step {saved[-1]:,} of" in done["err"], done["err"]
    # Those of few steps are worse than the counts of tokens, which is said since.
    assert [x for x in done["err"].splitlines() if "warning" in x and "counts of tokens alone" not in x] == []
    found = done["found"]
    same = runs.machine() == held["machine"]
    assert list(differences(held["numbers"], found["numbers"], exact=same)) == []
    if same:
        assert list(differences(held["exact"], found["exact"], exact=True)) == []


@pytest.mark.parametrize("name", runs.RUNS)
def test_the_batches_of_a_seed_come_in_the_same_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.place_texts(tmp_path)
    monkeypatch.chdir(tmp_path)
    found = runs.batches(runs.read(runs.HELD / name / runs.RUN / "config.json"))
    assert list(differences(expected_of(name)["batches"], found, exact=True)) == []


def test_what_counts_as_a_difference() -> None:
    old = {"a": [1.0, None], "b": {"c": "x", "n": 3}}
    assert list(differences(old, old | {"new": 1}, exact=True)) == []
    near = {"a": [1.00001, None], "b": {"c": "x", "n": 3}}
    assert list(differences(old, near, exact=False)) == [] and len(list(differences(old, near, exact=True))) == 1
    for other in ({"a": [1.001, None]}, {"a": [1.0]}, {"a": [1.0, 0.0]}, {"b": {"c": "x"}}, {"b": {"c": "x", "n": 4}}):
        assert len(list(differences(old, old | other, exact=False))) == 1
