"""Real processes that are ended by real signals, and continued: nothing of the end shows that they were."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import commands
from tests.commands import checkpoints, final_arrays, metrics, start, train, training, vectors

pytestmark = pytest.mark.xdist_group("resume")  # one worker: they share a trained run

# Runs the command twice, as starting it anew takes most of the time, and stands still in it, with a line on standard
# output: in the first training until a signal comes, in the second, which is killed, between two saves. In the middle
# of writing the checkpoint of step 48, and before its commit, it copies the folder: a kill there would leave the same
# files, and one process then shows all points.
HELD = """
import json, pathlib, shutil, signal, sys, time
import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint._src.path import atomicity
from tests import commands

def tell(found):
    print(json.dumps(found), file=sys.__stdout__, flush=True)

def until_a_signal():
    note, came = signal.getsignal(signal.SIGTERM), []
    signal.signal(signal.SIGTERM, lambda *arguments: (came.append(0), note(*arguments)))
    tell("held")
    while not came:
        time.sleep(0.01)

def between_saves():
    while not (workdir / "checkpoints" / "48").exists():
        time.sleep(0.01)
    tell("held")
    time.sleep(600)

def run(act, words):
    with pytest.MonkeyPatch.context() as patch:
        commands.at_call(patch, 15, act)  # steps 56 to 59
        patch.setattr(sys, "orig_argv", [sys.executable, "-m", "experiments.train", *words])  # the printed command
        return commands.run("experiments.train", *words)

workdir, signalled, killed = pathlib.Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
tell(run(until_a_signal, signalled))
merge = ocp.PyTreeCheckpointHandler.finalize
def seen_merge(self, folder):  # the arrays lie in files of their own, the index that joins them is missing
    if folder.parent.name.startswith("48"):
        shutil.copytree(workdir, workdir.parent / "during a write")
    return merge(self, folder)
ocp.PyTreeCheckpointHandler.finalize = seen_merge
rename = atomicity.AtomicRenameTemporaryPath.finalize
async def seen_rename(self, *arguments):
    if self.get_final().name == "48":
        shutil.copytree(workdir, workdir.parent / "before the commit")
    return await rename(self, *arguments)
atomicity.AtomicRenameTemporaryPath.finalize = seen_rename
run(between_saves, killed)
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(commands.text_of(900))
    return path


@pytest.fixture(scope="module")
def whole(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupts."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    done = train(text, workdir)
    assert done.status == 0, done.err
    return workdir


class Ended(NamedTuple):
    """What two real signals leave."""

    killed: Path  # a folder with what a kill leaves, by the point at which it came
    signalled: Path  # the run that got SIGTERM
    words: list[str]  # its arguments
    how: commands.Done  # it ended


@pytest.fixture(scope="module")
def ended(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    killed, signalled = tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("signalled") / "a run"
    workdir = killed / "between saves"
    words = training(text, signalled)  # a name that the printed command has to quote
    saved_twice = training(text, workdir, checkpoint__every_steps=32)
    with start("-c", HELD, str(workdir), json.dumps(words), json.dumps(saved_twice)) as process:
        killer = threading.Timer(150, process.kill)
        killer.start()
        try:
            assert process.stdout is not None and process.stderr is not None

            def line() -> Any:
                found = process.stdout.readline()
                assert found, process.stderr.read()
                return json.loads(found)

            assert line() == "held"
            process.send_signal(signal.SIGTERM)
            how = commands.Done(*line())
            assert line() == "held"
        finally:
            killer.cancel()
            process.kill()
    assert process.returncode == -signal.SIGKILL
    return Ended(killed, signalled, words, how)


@pytest.mark.parametrize(
    ("point", "kept"),
    [("between saves", [32, 48]), ("during a write", [16, 32]), ("before the commit", [16, 32])],
)
def test_killed_and_continued_it_ends_where_an_uninterrupted_run_ends(
    point: str, kept: list[int], text: Path, whole: Path, ended: Ended
) -> None:
    workdir = ended.killed / point
    unfinished = [f for f in (workdir / "checkpoints").iterdir() if not f.name.isdigit()]
    files = [f for folder in unfinished for f in folder.rglob("*") if f.is_file()]
    reached = metrics(workdir)[-1]["step"]
    assert checkpoints(workdir)[-2:] == kept  # one more is deleted once its successor is there
    assert bool(files) == (point != "between saves")  # the write was really cut short
    done = commands.run("experiments.train", *training(text, workdir, checkpoint__every_steps=32))
    assert done.status == 0, done.err
    assert f"continuing at step {kept[-1]} of" in done.err and "warning" not in done.err
    assert reached - kept[-1] <= 32
    assert vectors(workdir) == vectors(whole) and final_arrays(workdir) == final_arrays(whole)
    assert all(f.name.isdigit() for f in (workdir / "checkpoints").iterdir())
    steps = [row["step"] for row in metrics(workdir)]
    assert steps == sorted(set(steps))


def test_sigterm_saves_and_the_printed_command_continues(whole: Path, ended: Ended) -> None:
    workdir = ended.signalled
    assert ended.how.status == 143 and ended.how.out == "", ended.how.err
    line = ended.how.err.strip().splitlines()[-1]
    assert line.startswith("stopped by SIGTERM at step ") and "which is saved. The same command continues: " in line
    (step,) = checkpoints(workdir)
    assert 0 < step < checkpoints(whole)[-1]
    assert not (workdir / "result.json").exists() and not (workdir / "vectors.bin").exists()
    command = shlex.split(line.partition("continues: ")[2])
    assert command == [sys.executable, "-m", "experiments.train", *ended.words]
    again = commands.run(*command[2:])
    assert again.status == 0 and f"continuing at step {step:,} of" in again.err, again.err
    assert vectors(workdir) == vectors(whole) and final_arrays(workdir) == final_arrays(whole)
