"""Real processes that are ended by real signals, and continued: nothing of the end shows that they were."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from pathlib import Path

import pytest

from tests import commands
from tests.commands import checkpoints, final_arrays, metrics, start, train, training, vectors

pytestmark = pytest.mark.xdist_group("resume")  # one worker: they share a trained run

# Trains like the command, but stands still, with a line on standard output, between two saves or until a signal comes.
# In the middle of writing the checkpoint of step 48, and before its commit, it copies the folder: a kill there would
# leave the same files, and one process then shows all points.
HELD = """
import pathlib, runpy, shutil, signal, sys, time
import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint._src.path import atomicity
from tests import commands

point, workdir = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))

def hold():
    print("held", flush=True)
    time.sleep(600)

def between_saves():
    while not (workdir / "checkpoints" / "48").exists():
        time.sleep(0.01)
    hold()

def until_a_signal():
    note, came = signal.getsignal(signal.SIGTERM), []
    signal.signal(signal.SIGTERM, lambda *arguments: (came.append(0), note(*arguments)))
    print("held", flush=True)
    while not came:
        time.sleep(0.01)

acts = {"between saves": between_saves, "a signal": until_a_signal}
commands.at_call(pytest.MonkeyPatch(), 15, acts[point])  # steps 56 to 59
if point == "between saves":
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

sys.argv[0] = "train"
sys.orig_argv = [sys.executable, "-m", "experiments.train", *sys.argv[1:]]  # what the command to continue is made of
runpy.run_module("experiments.train", run_name="__main__")
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


@pytest.fixture(scope="module")
def killed(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a kill leaves, by the point at which it came."""
    folder = tmp_path_factory.mktemp("killed")
    workdir = folder / "between saves"
    words = training(text, workdir, checkpoint__every_steps=32)  # saved twice in that time
    with start("-c", HELD, "between saves", str(workdir), *words) as process:
        killer = threading.Timer(100, process.kill)
        killer.start()
        try:
            assert process.stdout is not None and process.stderr is not None
            held = process.stdout.readline()
            assert held == "held\n", process.stderr.read()
        finally:
            killer.cancel()
            process.kill()
    assert process.returncode == -signal.SIGKILL
    return folder


@pytest.mark.parametrize(
    ("point", "kept"),
    [("between saves", [32, 48]), ("during a write", [16, 32]), ("before the commit", [16, 32])],
)
def test_killed_and_continued_it_ends_where_an_uninterrupted_run_ends(
    point: str, kept: list[int], text: Path, whole: Path, killed: Path
) -> None:
    workdir = killed / point
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


def test_sigterm_saves_and_the_printed_command_continues(text: Path, whole: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "a run"  # a name that the printed command has to quote
    words = training(text, workdir)
    with start("-c", HELD, "a signal", str(workdir), *words) as process:
        killer = threading.Timer(100, process.kill)
        killer.start()
        try:
            assert process.stdout is not None and process.stderr is not None
            held = process.stdout.readline()
            assert held == "held\n", process.stderr.read()
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
        finally:
            killer.cancel()
            process.kill()
    assert process.returncode == 143 and out == "", err
    line = err.strip().splitlines()[-1]
    assert line.startswith("stopped by SIGTERM at step ") and "which is saved. The same command continues: " in line
    (step,) = checkpoints(workdir)
    assert 0 < step < checkpoints(whole)[-1]
    assert not (workdir / "result.json").exists() and not (workdir / "vectors.bin").exists()
    command = shlex.split(line.partition("continues: ")[2])
    assert command == [sys.executable, "-m", "experiments.train", *words]
    again = commands.run(*command[2:])
    assert again.status == 0 and f"continuing at step {step:,} of" in again.err, again.err
    assert vectors(workdir) == vectors(whole) and final_arrays(workdir) == final_arrays(whole)
