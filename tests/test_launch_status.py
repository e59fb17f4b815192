"""`status`: one sentence and the next command, for every kind of trouble."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launch.cloud import trouble, verbs
from launch.cloud.plan import Machine
from launch.fake import faults
from launch.fake import world as w
from launch.fake.play import Play
from tests.launching import ONE, status, tpu
from tests.launching import play as play  # a fixture
from tests.launching import source as source  # a fixture

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others


# ---- status: one sentence and the next command ----

GCLOUD: dict[str, dict[str, Any]] = {  # what the cloud is like -> the kind of trouble
    "no_login": {"logged_in": False},
    "no_project": {"project": ""},
    "no_api": {"apis": []},
    "no_permission": {"may": False},
    "no_quota": {"quota": dict.fromkeys(w.CORES, 4)},
    "no_capacity": {"doom": faults.NO_CAPACITY.format(zone="us-west4-a")},
    "bad_zone": {"zones": ["us-east5-a"]},
    "bad_image": {"images": []},
    "queue_over": {"capacity": dict.fromkeys(w.CORES, 0)},
}


@pytest.mark.parametrize("kind", GCLOUD)
def test_status_says_why_there_is_no_machine(play: Play, kind: str) -> None:
    play.change(**GCLOUD[kind])
    asked = play.asked(valid_for="1h", **ONE)
    found = verbs.up(play.cloud("w2v"), play.state, "w2v", asked)
    assert found is not None and found.key == kind, found
    assert status(play).key == kind and status(play).next == found.next
    assert play.left() == [], "a request that failed holds quota"


LOGS = {  # (phase of the end, what the worker printed) -> the kind of trouble
    ("install", "ERROR: No matching distribution found for jax==99"): "install_failed",
    ("install", "libtpu mismatch: libtpu 0.0.48.* were wanted, libtpu 0.0.50.1 installed"): "mismatch",
    ("run", "RuntimeError: Unable to initialize backend 'tpu': libtpu version 0.0.4 is too old"): "mismatch",
    ("lock", "/tmp/libtpu_lockfile is held by process 12 (python)"): "lock_held",
    ("run", "RuntimeError: ABORTED: The TPU is already in use by process with pid 176028."): "lock_held",
    (
        "run",
        "XlaRuntimeError: RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. "
        "Used 17.50G of 15.75G hbm. Exceeded hbm capacity by 1.75G.",
    ): "oom_compile",
    ("run", "RESOURCE_EXHAUSTED: Error allocating device buffer: Attempting to allocate 2.00G."): "oom_run",
    ("run", "error: out of memory (of this machine); choose smaller sizes"): "oom_run",
    ("run", "error: gs://b/run: 403: 1-compute@developer does not have storage.objects.create access"): (
        "no_bucket_permission"
    ),
    ("run", "error: gs://b/run: The specified bucket does not exist."): "no_bucket",
    ("run", "error: gs://b/run/config.json: the server gives an error (503): run the same command again"): "no_server",
    ("run", "error: tfds:lm1b is not prepared under /data: run once with --config.data.offline=False "): "no_data",
    ("run", "error: the loss is not finite at step 40"): "diverged",
    ("run", "error: No space left on device"): "disk_full",
    ("run", "jaxlib error: Coordination service agent: heartbeat timeout of task 3"): "peers",
    ("run", "error: --config is missing: give a config file"): "bad_input",
    ("run", "IndexError: list index out of range"): "failed",
}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Iterator[Play]:
    """A machine of 4 workers that is ACTIVE."""
    play = Play(tmp_path_factory.mktemp("ready"), source)
    assert verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked()) is None
    yield play
    play.end()


def pretend(play: Play, worker: int, log: str, age: float = 0.0, **end: Any) -> None:
    """Puts the files of a run onto a worker: running, or ended with `end`."""
    root = Path(play.folder) / f"nodes/w2v/{worker}/w2v_jax"
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    mark = {"pid": os.getpid(), "started": stat[19]}
    (root / "run.json").write_text(json.dumps({"id": "a", "phase": "running", **mark}))
    (root / "exit.json").write_text(json.dumps({"id": "a", "at": 1.0, **end} if end else {}))
    name = "install.log" if end.get("phase") == "install" else "run.log"
    (root / name).write_text(log)
    os.utime(root / name, (time.time() - age, time.time() - age))


@pytest.mark.parametrize("said", LOGS, ids=lambda said: f"{LOGS[said]}: {said[1][:24]}")
def test_status_says_why_a_run_ended(ready: Play, said: tuple[str, str]) -> None:
    for worker in range(4):
        pretend(ready, worker, "pass 0.1  step 7/40\n")
    phase, text = said
    reason = f"uv pip install: exit status 1 ({text})" if phase == "install" else ""
    pretend(ready, 2, f"pass 0.1  step 7/40\n{text}\n", phase=phase, status=1, reason=reason)
    began = time.monotonic()
    found = status(ready)
    assert time.monotonic() - began < 10
    assert found.key == LOGS[said], found
    assert found.sentence.startswith("worker 2") and text.strip()[:60] in found.sentence
    assert "\n" not in found.sentence and found.next and "{" not in found.next


def test_status_of_a_run_that_goes_on(ready: Play) -> None:
    for worker in range(4):
        pretend(ready, worker, "pass 0.1  step 1,007/4,000\n" if not worker else "")
    assert status(ready).sentence == "w2v runs on 4 workers, step 1,007"
    for worker in range(4):
        pretend(ready, worker, "pass 0.1  step 7/40\n" if not worker else "", age=3000.0)
    assert status(ready).key == "hung" and "no step for 50 minutes" in status(ready).sentence
    pretend(ready, 1, "", phase="run", status=0)
    pretend(ready, 0, "step 3/4\n")
    assert status(ready).key == "ok"
    gone = {"id": "a", "phase": "running", "pid": 1, "started": "7"}
    (Path(ready.folder) / "nodes/w2v/3/w2v_jax/run.json").write_text(json.dumps(gone))
    assert status(ready).key == "lost"


def test_status_of_workers_that_are_missing(ready: Play) -> None:
    for worker in range(4):
        pretend(ready, worker, "step 7/40\n")
    with w.opened(ready.folder) as world:
        world["nodes"]["w2v"]["dead"] = [3]
    assert status(ready).sentence == "worker 3 of 4 cannot be reached"
    with w.opened(ready.folder) as world:
        world["nodes"]["w2v"]["dead"] = [0, 1, 2, 3]
    assert status(ready).sentence == "none of the 4 workers of w2v can be reached by SSH"
    with w.opened(ready.folder) as world:
        world["nodes"]["w2v"] |= {"dead": [], "state": "PREEMPTED"}
    assert status(ready).key == "preempted"
    with w.opened(ready.folder) as world:
        world["nodes"]["w2v"]["state"] = "READY"


def test_status_answers_in_ten_seconds_when_ssh_hangs(tmp_path: Path) -> None:
    """By the executable: a gcloud whose ssh never answers."""
    slow = tmp_path / "bin/gcloud"
    slow.parent.mkdir()
    slow.write_text('#!/bin/bash\n[[ "$*" == *" ssh "* ]] && sleep 100\necho \'{"state": {"state": "ACTIVE"}}\'\n')
    slow.chmod(0o755)
    (tmp_path / "s").mkdir()
    machine = {"name": "w2v", "zone": "us-west4-a", "accelerator": "v5litepod-16"}
    (tmp_path / "s/w2v.json").write_text(json.dumps({"machine": machine}))
    began = time.monotonic()
    done = tpu("status", "w2v", path=f"{tmp_path}/bin:{os.environ['PATH']}", state=tmp_path / "s")
    assert time.monotonic() - began < 10
    assert done.returncode == 1 and "none of the 4 workers of w2v can be reached by SSH\nnext: " in done.stdout


def test_there_are_at_least_fifteen_kinds_of_trouble() -> None:
    assert len({*GCLOUD, *LOGS.values(), "preempted", "hung", "missing", "lost"}) >= 15
    tested = {*GCLOUD, *LOGS.values(), "no_account", "bad_accelerator"}
    assert set(trouble.kinds()) <= tested
    machine = Machine("w2v", "us-west4-a", "v5litepod-16")
    for key, text in (
        ("no_account", "FAILED_PRECONDITION: The service account a@b.iam.gserviceaccount.com does not exist"),
        ("bad_accelerator", "NOT_FOUND: Accelerator type 'v6e-16' not found in us-west4-a"),
    ):
        assert trouble.of_gcloud(text, machine, "x").key == key
    assert trouble.of_gcloud("something new", machine, "asking").key == "gcloud"
