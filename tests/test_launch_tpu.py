"""The Cloud TPU launcher against the fake gcloud: real local processes as workers, hours in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launch.cloud import verbs
from launch.cloud.machine import Patience
from launch.cloud.watch import Limits
from launch.fake.play import Play, training
from tests.launching import ONE, ROOT, STEPS, right, run, status
from tests.launching import play as play  # a fixture
from tests.launching import source as source  # a fixture

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others


# ---- the whole way ----


def test_run_brings_up_ships_runs_on_every_worker_and_deletes(play: Play) -> None:
    assert run(play) is None
    assert right(play, 4) and play.left() == []
    text = "\n".join(play.said)
    assert "cost: v5litepod-16 spot, 16 chips: $8.41 an hour, at most $203.14 in 24 hours and 10 minutes" in text
    states = ["absent", "CREATING", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"]
    assert [line.split(": ")[1] for line in play.said if line.startswith("w2v: ")][:5] == states
    for worker in range(4):
        assert f"[worker {worker}] ended with exit status 0" in text


def test_two_slices_are_one_run(play: Play) -> None:
    assert run(play, accelerator="v5litepod-8", slices=2) is None
    assert right(play, 2) and play.left() == []
    assert any("--node-count=2 --node-prefix=w2v " in line for line in play.said)
    assert "[slice 1 worker 0] ended with exit status 0" in play.said


FAULTS: dict[str, list[dict[str, Any]]] = {
    "preempted": [{"kind": "preempt", "step": 8}],
    "slices end without a word": [{"kind": "vanish", "step": 8}],
    "a worker dies": [{"kind": "dead", "step": 8, "worker": 0}],
    "ssh is lost for a while": [{"kind": "deaf", "call": 12, "seconds": 90}],
    "the run is killed": [{"kind": "kill_run", "step": 8}],
    "the machine reboots": [{"kind": "reboot", "step": 8}],
    "the install fails": [{"kind": "install_fails"}],
    "half an install": [{"kind": "install_half"}],
    "the first request fails": [{"kind": "doom"}],
    "the answer to create is lost": [
        {"kind": "answers", "value": {"count": 1, "message": "503 UNAVAILABLE", "words": "create", "after": True}}
    ],
    "a lock whose owner is dead": [{"kind": "lock"}],
}


@pytest.mark.parametrize("name", FAULTS)
def test_keep_alive_ends_with_the_parameters_of_an_undisturbed_run(play: Play, name: str) -> None:
    play.change(faults=FAULTS[name])
    found = run(play, patience=Patience(reach_s=200.0, hung_s=400.0), **ONE)
    assert found is None, found
    assert right(play, 1) and play.left() == []
    assert [f["kind"] for f in play.world()["told"]] == [f["kind"] for f in FAULTS[name]], "it happened"


def test_a_hung_step_gets_the_stacks_of_every_rank_and_a_restart(play: Play) -> None:
    play.fault("hang", step=6, worker=1)
    assert run(play, patience=Patience(hung_s=120.0)) is None and right(play, 4)
    stacks = (play.state.room("w2v") / "stacks-1.txt").read_text()
    assert [f"==== worker {i}" in stacks for i in range(4)] == [True] * 4
    assert stacks.count("most recent call first") == 4
    hung = stacks.split("==== worker 1")[1].split("==== worker 2")[0]
    assert "in trip" in hung, "the line where it hangs"


def test_without_keep_alive_a_lost_machine_ends_the_run_with_the_reason(play: Play) -> None:
    play.fault("preempt", step=8)
    found = run(play, limits=Limits(False, 3), down=False, **ONE)
    assert found is not None and found.key == "preempted" and "run w2v --keep_alive" in found.next


def test_a_limit_on_tries(play: Play) -> None:
    play.change(faults=[{"kind": "preempt", "step": n} for n in (2, 8, 14)])
    found = run(play, limits=Limits(True, 2), **ONE)
    assert found is not None and found.sentence.startswith("gave up after 2 tries; the last: w2v was taken away")
    assert play.left() == []


def test_every_command_of_ours_shows_its_stacks(tmp_path: Path) -> None:
    code = (
        "import os, signal\nfrom experiments.common import cli\n"
        "def seventh_seal(argv):\n    os.kill(os.getpid(), signal.SIGUSR1)\n    print('goes on')\n"
        "cli.run(seventh_seal)\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "goes on\n" and "in seventh_seal" in done.stderr


def test_the_first_worker_that_fails_is_named_with_its_last_lines(play: Play) -> None:
    play.fault("crash", step=2, worker=2, text="ValueError: the seventh seal")
    found = run(play, limits=Limits(True, 1))
    assert found is not None and found.key == "failed"
    assert found.sentence == "worker 2 failed first (exit status 1): ValueError: the seventh seal"
    assert found.next == "python -m launch.tpu logs w2v --worker=2"


# ---- Ctrl-C, down from elsewhere, hours ----


@pytest.mark.parametrize("state", ["create", "CREATING", "WAITING_FOR_RESOURCES", "PROVISIONING"])
def test_ctrl_c_withdraws_the_request(play: Play, state: str) -> None:
    def interrupt(line: list[str]) -> None:
        now = {r["state"] for r in play.world()["requests"].values()}
        if state in now or (state == "create" and "create" in line):
            play.before = lambda line: None
            raise KeyboardInterrupt

    play.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(**ONE))
    assert play.left() == [] and play.state.known("w2v").withdrawn


def test_down_in_another_terminal_ends_keep_alive(play: Play) -> None:
    def other(line: list[str]) -> None:
        if any("poll" in word for word in line):
            play.before = lambda line: None
            assert verbs.down(play.cloud("w2v"), play.state, "w2v", play.asked()) is None

    play.before = other
    found = run(play, training(STEPS, pause=0.05), **ONE)
    assert found is not None and found.key in ("withdrawn", "preempted")
    assert play.left() == [] and play.state.names() == []


def test_the_machine_deletes_itself_when_the_launcher_is_gone(play: Play) -> None:
    def killed(line: list[str]) -> None:
        if any("poll" in word for word in line):
            raise SystemError("kill -9")

    play.before = killed
    with pytest.raises(SystemError):
        run(play, training(9000), max_hours=2.0, **ONE)
    play.before = lambda line: None
    play.real_s = 0.2
    for _ in range(30):
        play.sleep(600)
        if not play.left():
            break
    assert play.left() == []
    assert status(play).key == "max_hours", "it is gone, and the launcher did not do it"


def test_max_hours_end_the_run(play: Play) -> None:
    found = run(play, training(9000), max_hours=0.2, **ONE)
    assert found is not None and found.key == "max_hours" and play.left() == []
