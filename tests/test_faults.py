"""The campaign of faults: a sample of 40 damages of a small run, and its own parts on things whose end is known."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import damages, inject, outcome, plan, record, report, runs, stops
from benchmarks.faults.kept import Kept, copy
from benchmarks.faults.lives import Ending, Job
from benchmarks.faults.outcome import AGAIN, GOOD, REFUSED, SAME, SILENT, WRONG, Verdict
from benchmarks.faults.record import Fault
from tests import commands
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS

pytestmark = pytest.mark.xdist_group("faults")  # one worker: they share a run

# Numbers of damages by what is damaged, 40 in all. Most end before anything is compiled.
SAMPLE = {
    "checkpoint": range(5),
    "shards": range(3),
    "vocabulary": range(1),
    "config": range(9),
    "result": (0, 1, 8, 9),  # of others, a flipped bit of a number is not seen: docs/reliability.md
    "tokenizer_when_finished": range(3),
    "vocabulary_when_finished": range(4),
    "config_when_finished": range(8),
    "vectors_when_finished": range(3),
}


def run_here(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> list[Ending]:
    """Commands of one folder in this process."""
    monkeypatch.chdir(jobs[0].place)
    return [Ending(*commands.run(job.module, *job.arguments)) for job in jobs]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("faults")
    small = runs.small_runs()["skipgram"]
    fresh, whole, half = (folder / name for name in ("fresh", "whole", "half"))
    runs.place_texts(fresh)
    kept = Kept(small, fresh, copy(fresh, whole), copy(fresh, half), {}, [], 0, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        first = run_here([kept.job(whole)], patch)
        assert first[0].status == 0, first[0].err
        kept = kept._replace(want=outcome.content(whole))
        again = run_here(kept.jobs(whole), patch)
        assert [e.status for e in again] == [0, 0], again[-1].err
        commands.at_call(patch, 6, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert run_here([kept.job(half)], patch)[0].status == 128 + signal.SIGTERM
    assert len(commands.checkpoints(half / runs.RUN)) > 1
    return kept._replace(endings=[*first, *again])


def test_a_sample_of_damages(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(map(len, SAMPLE.values())) == 40
    verdicts: dict[str, Verdict] = {}
    for target, numbers in SAMPLE.items():
        for number in numbers:
            one = damages.damage(kept, target, number, tmp_path / "place")
            assert one is not None
            ends = run_here(one.jobs(kept), monkeypatch)
            verdicts[f"{one.name}: {one.what}"] = damages.judge(kept, one, ends)
    assert {name: v for name, v in verdicts.items() if v.kind not in GOOD} == {}
    assert {v.kind for v in verdicts.values()} == set(GOOD)  # each way to be right occurs
    exported = [
        (v.kind, "then used" in name) for name, v in verdicts.items() if "_when" in name and "config" not in name
    ]
    assert {(REFUSED, True), (AGAIN, False)} <= set(exported) <= {(REFUSED, True), (AGAIN, False), (SAME, True)}, (
        exported
    )
    shards = [v.kind for name, v in verdicts.items() if name.startswith("shards")]
    assert shards.count(AGAIN) >= 2


def test_another_run_is_silent_and_not_good(kept: Kept, tmp_path: Path) -> None:
    """What the campaign would say if a damage trained other vectors."""
    place = copy(kept.whole, tmp_path / "other")
    (place / runs.RUN / "evaluation.json").unlink()
    vectors = place / runs.RUN / "vectors.bin"
    vectors.write_bytes(damages.flipped(bytearray(vectors.read_bytes()), random.Random(0)))
    verdict = outcome.judge(kept.endings[:1], kept.endings[:1], outcome.content(place), kept.want)
    assert verdict == Verdict(SILENT, "other vectors.bin")
    line = json.loads((place / runs.RUN / "metrics.jsonl").read_text().splitlines()[0])
    assert set(outcome.lasting(line)) == set(line) - {"seconds", "words_per_second", "data_wait"}


WRITES = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from benchmarks.faults import inject
folder, at, mode, error = sys.argv[2], *map(int, sys.argv[3:])
inject.arm(inject.Arm(Path(folder), at, mode, error))
failed = []
for number in range(4):
    try:
        with open(f"{folder}/{number}", "wb", buffering=0) as f:
            f.write(b"12345678")
    except OSError as e:
        failed.append((number, e.errno))
os.write(1, repr((failed, inject.seen()[0])).encode())
"""


@pytest.mark.parametrize(
    ("at", "mode", "ends"),
    [
        (0, inject.COUNT, "([], 8)"),
        (4, inject.ONCE, "([(1, 28)], 8)"),
        (5, inject.FROM_NOW_ON, "([(2, 28), (3, 28)], 6)"),
        (4, inject.KILL, ""),
        (4, inject.TORN, ""),
    ],
)
def test_the_kth_write_fails_below_python(at: int, mode: int, ends: str, library: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITES, str(commands.ROOT), str(tmp_path / "in"), str(at), str(mode), "28"]
    (tmp_path / "in").mkdir()
    done = subprocess.run(words, env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, text=True)
    assert done.stdout == ends, done.stderr
    assert done.returncode == (-signal.SIGKILL if mode in (inject.KILL, inject.TORN) else 0)
    sizes = [f.stat().st_size for f in sorted((tmp_path / "in").iterdir())]
    assert sizes == {inject.COUNT: [8] * 4, inject.ONCE: [8, 0, 8, 8], inject.FROM_NOW_ON: [8, 8]}.get(
        mode, [8, 0] if mode == inject.KILL else [8, 4]
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = inject.build(tmp_path_factory.mktemp("library"))
    if found is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler")
    return found


LIVES = """
import signal, sys
from pathlib import Path
from benchmarks.faults import lives, stops
place = Path(sys.argv[1])
two = [lives.Job(place, "own", ("0",)), lives.Job(place.with_name("other"), "own", ("3",))]
print([(e.status, e.out) for e in lives.finish(lives.begin(two))])
life = lives.begin([lives.Job(place, "own", ("wait",))])
print(stops._signals(life, 0.0, signal.SIGSTOP, signal.SIGKILL, pause=0.01).ending.status)
print(lives.finish(lives.begin([lives.Job(place, "own", ("wait",))]), 0.2)[0].status)
"""


def test_lives_are_forked_stopped_and_judged_by_status(tmp_path: Path) -> None:
    for name in ("place", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "own.py").write_text(
        "import sys, time\nprint(sys.argv[1:])\ntime.sleep(30 * (sys.argv[1] == 'wait'))\nsys.exit(int(sys.argv[1]))\n"
    )
    path = os.pathsep.join([str(commands.ROOT), str(tmp_path)])
    words = [sys.executable, "-c", LIVES, str(tmp_path / "place")]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.stdout.splitlines() == [r"""[(0, "['0']\n"), (3, "['3']\n")]""", "137", "None"], done.stderr


@pytest.mark.parametrize(
    ("status", "err", "kind"),
    [
        (0, "corpus: 3 documents\n", SAME),
        (0, "warning: checkpoint 3 is damaged; trying the one before\n", AGAIN),
        (2, "corpus: 3 documents\nerror: x: damaged; make it again\n", REFUSED),
        (2, "error: a\nerror: b\n", WRONG),
        (2, "usage\n", WRONG),
        (1, 'Traceback (most recent call last):\n  File "/a/w2v_jax/b.py", line 3, in f\nValueError: x\n', WRONG),
        (139, "", WRONG),
        (None, "pass 1\n", WRONG),
    ],
)
def test_verdicts(status: int | None, err: str, kind: str) -> None:
    whole = [Ending(0, '{"loss": 1.0, "seconds": 2.0}', "")]
    assert outcome.judge([Ending(status, '{"loss": 1.0, "seconds": 3.0}', err)], whole, {}, {}).kind == kind


def test_another_choice_of_older_checkpoints_must_be_told() -> None:
    told = Ending(0, "", "warning: checkpoint 4 in c is damaged (x); its held-out loss is lost, and\n")
    want, same, other = {"checkpoints": "[4, 8] aa"}, {"checkpoints": "[6, 8] aa"}, {"checkpoints": "[6, 8] bb"}
    whole = [Ending(0, "", "")]
    assert outcome.judge([told], whole, same, want).kind == AGAIN
    assert outcome.judge([told], whole, other, want).kind == WRONG
    assert outcome.judge(whole, whole, same, want).kind == SILENT
    assert outcome.judge(whole, whole, {"checkpoints": "[2, 4, 8] aa"}, want).kind == SAME  # died while it removed one
    assert outcome.judge(whole, whole, {"checkpoints": "[2, 4, 8] bb"}, want).kind == SILENT
    gone = Ending(0, "", "warning: checkpoint 4 in c, the run's best, is gone; there are [8]\n")
    assert outcome.judge([gone], whole, {"checkpoints": "[8] aa"}, want).kind == AGAIN


def test_every_family_has_a_run_and_every_name_a_unit() -> None:
    small = runs.small_runs()
    families = {word for run in small.values() for word in run.arguments if word.startswith("--config=")}
    assert len(families) == len(small) == len(MODELS) + 2  # word2vec has two, and there is a study
    first = [unit.names for unit, _ in zip(plan.units(list(small)), range(60), strict=False)]
    assert len({name for names in first for name in names}) == sum(map(len, first))
    later = [unit.names for unit, _ in zip(plan.units(list(small), first=7), range(60), strict=False)]
    assert all(name.endswith("/7") for name in later[0]) and not {n for u in later for n in u} & {
        n for u in first for n in u
    }
    with pytest.raises(UserError, match="did you mean 'kill'"):
        plan.unit(["kil/skipgram/3"])
    assert [u.names for u in plan.again(["kill/lstm/1", "config/lstm/2", "metrics/lstm/3"])] == [
        ("config/lstm/2", "metrics/lstm/3"),
        ("kill/lstm/1",),
    ]


def test_the_report_counts_chains_and_lists_what_went_wrong(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "faults.jsonl"
    some = [
        Fault("kill/lstm/0", 4, SAME, lost=16),
        Fault("eio/lstm/0", 2, WRONG, "hangs: at step 3"),
        Fault("eio/lstm/1", 1, WRONG, "hangs: at step 17"),
        Fault("config/cbow/0", 1, REFUSED, "error: x"),
    ]
    record.write(file, [*some, some[1]._replace(verdict=SAME)])  # made again
    with file.open("a") as f:
        f.write('{"name": "kill/ls')
    assert report.report(file, tmp_path / "out") == 1
    found = json.loads((tmp_path / "out/faults.json").read_text())
    assert found["faults"] == 8 and found["by_group"]["stops"] == dict(zip(report.NAMES, (6, 0, 0, 0, 1), strict=True))
    assert found["silent_or_wrong"] == [{"cause": "eio: wrong: hangs: at step n", "faults": 1, "names": ["eio/lstm/1"]}]
    assert found["most_steps_lost"] == 16 and "--only=eio/lstm/1" in capsys.readouterr().out
    assert (tmp_path / "out/faults.png").stat().st_size > 5000
    # Another part, of which the lines of the first are gone: what went wrong there was made again.
    file.unlink()
    record.write(file, [some[2]._replace(verdict=SAME), Fault("eio/cbow/5", 2, SAME)])
    assert report.report(file, tmp_path / "out", add=True) == 0
    both = json.loads((tmp_path / "out/faults.json").read_text())
    assert both["faults"] == 10 and both["by_kind"]["eio"] == dict(zip(report.NAMES, (5, 0, 0, 0, 0), strict=True))
    assert both["by_run"]["cbow"][SAME] == 2 and both["by_group"]["stops"][SAME] == 9 and not both["silent_or_wrong"]
    assert re.search(r"all +\| +10 \|", (tmp_path / "out/faults.md").read_text())


def test_what_a_killed_process_leaves_is_read(tmp_path: Path) -> None:
    assert stops.last_step(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text('{"step": 16}\n{"step": 32}\n{"step": 4')
    assert stops.last_step(tmp_path) == 32
    assert stops.started_at("corpus ...\ncontinuing at step 1,280 of 9,000\n") == 1280
    assert stops.started_at("compiled in 3.1 s\n") == 0
    assert stops.started_at("corpus ...\n") is None


def test_a_library_that_turns_an_interrupt_into_another_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TensorFlow's tracing does; status 130 and one line all the same."""
    from w2v_jax.train import loop

    def prepare(*arguments: Any) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            raise AssertionError  # noqa: B012  (as a context manager of the library does)

    monkeypatch.setattr(loop, "prepare", prepare)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = commands.train("x", tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.status == 130 and done.err.startswith("stopped by SIGINT. The same command"), done.err
    assert done.err.count("\n") == 1
