"""The Cloud TPU launcher against the fake gcloud: real local processes as workers, hours in seconds."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launch.chips import TABLE, chips
from launch.cloud import plan, prices, ship, trouble, verbs, workers
from launch.cloud.agent import lock
from launch.cloud.gcloud import execute
from launch.cloud.machine import Patience
from launch.cloud.names import bucket_of
from launch.cloud.plan import Machine
from launch.cloud.trouble import Trouble
from launch.cloud.watch import Limits, new_lines
from launch.fake import faults, standin
from launch.fake import gcloud as fake
from launch.fake import world as w
from launch.fake.play import BUCKET, Play, checkout, training
from tests.commands import run as command
from w2v_jax.errors import UserError

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others
ROOT = Path(__file__).resolve().parent.parent
STEPS = 24
ONE = {"accelerator": "v5litepod-8"}  # one worker: quicker


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("checkout") / "source")


@pytest.fixture
def play(tmp_path: Path, source: Path) -> Iterator[Play]:
    found = Play(tmp_path, source)
    yield found
    found.end()


def run(play: Play, argv: list[str] | None = None, **asked: Any) -> Trouble | None:
    """`run` with --yes, in a new launcher."""
    return verbs.run(play.cloud("w2v"), play.state, "w2v", play.asked(argv or training(STEPS), **asked))


def status(play: Play) -> Trouble:
    return verbs.state(play.cloud("w2v"), play.state, "w2v", play.asked())


def right(play: Play, workers: int, steps: int = STEPS) -> bool:
    """The run ended with the parameters of an undisturbed one."""
    return bool(play.result()) and json.loads(play.result()) == standin.expected(workers, steps)


# ---- the whole way ----


def test_run_brings_up_ships_runs_on_every_worker_and_deletes(play: Play) -> None:
    assert run(play) is None
    assert right(play, 4) and play.left() == []
    text = "\n".join(play.said)
    assert "cost: v5litepod-16 spot, 16 chips: $4.76 an hour, at most $114.32 in 24 hours" in text
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


# ---- each verb may be repeated ----


def test_verbs_may_be_repeated(play: Play) -> None:
    asked = play.asked(down=False, **ONE)
    for _ in range(2):
        assert verbs.up(play.cloud("w2v"), play.state, "w2v", asked) is None
    assert status(play).sentence == "w2v is ready, 1 worker, and runs nothing"
    assert run(play, down=False, **ONE) is None
    calls = play.world()["calls"]
    created = [line for line in play.said if " create w2v " in line]
    assert run(play, down=False, **ONE) is None, "it continues a finished workdir"
    assert [line for line in play.said if " create w2v " in line] == created and len(created) == 1
    assert play.world()["calls"] > calls
    for _ in range(2):
        assert verbs.stop(play.cloud("w2v"), play.state, "w2v", asked) is None
    assert verbs.logs(play.cloud("w2v"), play.state, "w2v", asked) is None
    assert play.said[-1] == f"step {STEPS}/{STEPS}: finished before"
    for _ in range(2):
        assert verbs.down(play.cloud("w2v"), play.state, "w2v", asked) is None
    assert play.left() == [] and play.state.names() == []


def test_a_second_launcher_takes_over_a_run_that_goes_on(play: Play) -> None:
    """The first is killed right after the start; the run is followed, not started again."""
    long = training(STEPS, pause=0.05)

    def killed(line: list[str]) -> None:
        if any("poll" in word for word in line):
            raise SystemError("kill -9")

    play.before = killed
    with pytest.raises(SystemError):
        run(play, long, **ONE)
    play.before = lambda line: None
    until = time.monotonic() + 10
    while not status(play).sentence.startswith("w2v runs on 1 worker"):
        assert time.monotonic() < until, status(play)
    assert run(play, long, **ONE) is None and right(play, 1)
    assert play.state.known("w2v").tries == 1 and "w2v: the run" in "\n".join(play.said)
    assert play.left() == []


def test_no_reinstall_while_the_lock_file_stays(play: Play) -> None:
    for _ in range(2):
        assert run(play, down=False, **ONE) is None
    home = Path(play.folder) / "nodes/w2v/0/w2v_jax"
    assert "already installed" in (home / "install.log").read_text()
    assert json.loads((home / "installed.json").read_text())["libtpu"].startswith("0.0.")


def test_what_is_not_committed_is_shipped_and_recorded(play: Play, tmp_path: Path) -> None:
    play.source = checkout(tmp_path / "changed")
    (play.source / "new.txt").write_text("not committed\n")
    (play.source / "setup.cfg").write_text("[metadata]\n")
    assert run(play, ["python", "-c", "print(open('new.txt').read())"], down=False, **ONE) is None
    assert "[worker 0] not committed" in play.said
    record = play.state.known("w2v")
    room = play.state.room("w2v") / "runs" / record.run_id
    patch = (room / "changes.patch").read_text()
    assert "+not committed" in patch and "-name = w2v_jax" in patch
    assert json.loads((room / "run.json").read_text())["commit"] == record.commit != ""
    apply = ["git", "apply", "--check", "--cached", str(room / "changes.patch")]
    assert subprocess.run(apply, cwd=play.source, check=False).returncode == 0
    assert not subprocess.run(["git", "diff", "--cached", "--quiet"], cwd=play.source, check=False).returncode


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
    assert status(play).key == "preempted", "it is gone, and the launcher did not do it"


def test_max_hours_end_the_run(play: Play) -> None:
    found = run(play, training(9000), max_hours=0.2, **ONE)
    assert found is not None and found.key in ("max_hours", "preempted") and play.left() == []


# ---- what is printed, and nothing injected ----


def tpu(*words: str, path: str, state: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "launch.tpu", *words[:2], f"--state_dir={state}", *words[2:]]
    environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)


def test_the_executable_runs_only_with_yes(play: Play, tmp_path: Path) -> None:
    path = f"{play.folder}/bin:{os.environ['PATH']}"
    play.change(call_s=30.0)
    words = ["run", "w2v", "--zone=us-west4-a", "--accelerator=v5litepod-8", "--poll-s=0.05", "--down"]
    shown = tpu(*words, "--", "echo", "two words", path=path, state=tmp_path / "s")
    assert shown.returncode == 0 and "nothing was run" in shown.stdout
    assert play.world()["calls"] == 0 and not (tmp_path / "s").exists()
    lines = [shlex.split(line[2:]) for line in shown.stdout.splitlines() if line.startswith("+ ")]
    assert all(line[0] == "gcloud" for line in lines)
    for line in lines:  # each is a line that the fake, and gcloud by its reference, would take
        fake.parse(line[1:])
    done = tpu(*words, "--yes", "--", "echo", "two  words;", path=path, state=tmp_path / "s")
    assert done.returncode == 0, done.stderr
    assert "[worker 0] two  words;" in done.stdout and play.left() == []
    ran = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert set(map(len, (ran,))) != {0} and {line.split(" --output")[0] for line in ran} <= {
        line.split(" --output")[0] for line in shown.stdout.replace("gcloud storage", "").splitlines()
    }


NASTY = ["a;rm -rf x", "$(touch x)", "`touch x`", "a\nb", "a'b", 'a"b', "--zone=x", "-x", "A", "a/../b", "", "a b", "é"]


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("key", ["name", "zone", "project", "image", "service_account", "network", "valid_for"])
def test_nothing_is_injected_by_a_name(key: str, value: str) -> None:
    values: dict[str, Any] = {"name": "w2v", "zone": "us-west4-a", "accelerator": "v5litepod-16", key: value}
    if not value and key not in ("name", "zone"):
        Machine(**values)  # not given
        return
    with pytest.raises(UserError) as caught:
        Machine(**values)
    assert "\n" not in str(caught.value) and key in str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["gs://", "gs:///x", "gs://A-b/x", "gs://a", "gs://-ab", "gs://a..b", "gs://goog-x", "gs://a;b/x", "gs://$(x)"],
)
def test_malformed_buckets(play: Play, path: str) -> None:
    with pytest.raises(UserError, match="is no name of a bucket"):
        bucket_of(path)
    with pytest.raises(UserError, match="is no name of a bucket"):
        run(play, ["python", "train.py", f"--workdir={path}"])
    assert play.world()["calls"] == 0


def test_the_words_of_the_command_reach_it_whole(play: Play) -> None:
    words = ["a;b", "$(touch x)", "`x`", "two words", "new\nline", "'", '"', "\\", "--flag=ü", "*", ""]
    argv = ["python", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words]
    assert run(play, argv, down=False, **ONE) is None
    said = next(line for line in play.said if line.startswith("[worker 0] ["))
    assert json.loads(said.removeprefix("[worker 0] ")) == words
    assert not list(Path(play.folder).rglob("x"))
    assert not any(word in " ".join(play.said[:8]) for word in ("touch x",)), "no gcloud line carries the command"


def test_gcloud_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not on PATH: install the Google Cloud CLI"):
        execute(["no-such-gcloud", "x"], 5)
    words = ("up", "w2v", "--zone=us-west4-a", "--accelerator=v5litepod-8", "--yes")
    done = tpu(*words, path="/nowhere", state=tmp_path / "s")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1


def test_a_machine_that_is_there_is_not_silently_another(play: Play) -> None:
    assert verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(**ONE)) is None
    with pytest.raises(UserError, match="w2v was asked for with accelerator=v5litepod-8"):
        verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(accelerator="v5litepod-16"))
    play.state.file("w2v").write_text('{"machine": ')
    with pytest.raises(UserError, match="is damaged"):
        status(play)


# ---- small parts ----


SIZES = {  # (chips, hosts), by the pages of Cloud TPU
    "v5litepod-1": (1, 1), "v5litepod-8": (8, 1), "v5litepod-16": (16, 4), "v5litepod-256": (256, 64),
    "v4-8": (4, 1), "v4-32": (16, 4), "v5p-8": (4, 1), "v5p-128": (64, 16), "v6e-8": (8, 1), "v6e-64": (64, 16),
}  # fmt: skip


def test_sizes_of_slices() -> None:
    for name, (count, hosts) in SIZES.items():
        machine = Machine("a", "us-west4-a", name, slices=3)
        assert (machine.piece.chips, machine.workers) == (count, 3 * hosts), name
    for bad in ("v5litepod-3", "v5p-7", "v5e-16", "v9-8", "v4", "v4-0", "v4-8;x"):
        with pytest.raises(UserError, match="--accelerator"):
            Machine("a", "us-west4-a", bad)


def test_jax_and_libtpu_are_a_pair_before_anything_is_asked_for() -> None:
    assert ship.pair_of("jax==0.11.2\njaxlib==0.11.2\n") == {"jax": "0.11.2", "libtpu": "0.0.48.*"}
    assert ship.pair_of("jax==0.11.2\nlibtpu==0.0.48.3\n")["libtpu"] == "0.0.48.3"
    for text, message in (
        ("numpy==2\n", "pins no jax"),
        ("jax==9.9\n", "has no libtpu that was checked"),
        ("jax==0.11.2\nlibtpu==0.0.50\n", "does not belong to jax==0.11.2"),
        ("jax==0.11.2\nlibtpu==0.0.480\n", "does not belong"),
    ):
        with pytest.raises(UserError, match=message):
            ship.pair_of(text)
    for file in ("constraints-py311.txt", "constraints-py312.txt"):
        assert ship.pair_of((ROOT / file).read_text())


def test_prices(tmp_path: Path) -> None:
    """Of all chips of all slices, from the table that the user may edit."""
    assert prices.per_hour("v5p-128", 2, spot=False) == pytest.approx(64 * 2 * chips()["v5p"].usd)
    assert "128 chips" in prices.sentence("v5p-128", 2, False, 3.0)
    own = tmp_path / "own.tsv"
    own.write_text(TABLE.read_text().replace("\t1.20\t0.2977\t", "\t2.00\t-\t"))
    assert "$32.00 an hour, at most $96.00 in 3 hours" in prices.sentence("v5litepod-16", 1, False, 3.0, str(own))
    assert "has no price of v5e spot" in prices.sentence("v5litepod-16", 1, True, 3.0, str(own))


def test_new_lines() -> None:
    assert new_lines(["a", "b"], ["b", "c"]) == ["c"]
    assert new_lines(["a", "b"], ["a", "b"]) == []
    assert new_lines(["a", "b"], ["x", "y"]) == ["x", "y"]
    assert new_lines([], ["a"]) == ["a"]


def test_the_fake_knows_the_flags_of_gcloud() -> None:
    machine = Machine("a", "us-west4-a", "v4-16", slices=2, spot=True, project="my-project-1", internal_ips=True,
                      service_account="me@my-project-1.iam.gserviceaccount.com", valid_for="6h")  # fmt: skip
    for line in (plan.create(machine, "a.sh", 60.0), plan.delete(machine), plan.remote(machine, "a-0", "x", "/tmp")):
        assert fake.parse(line[1:]).flags["--zone"] == "us-west4-a"
    flex = Machine("a", "us-west4-a", "v5litepod-8", flex_start=True)
    assert fake.parse(plan.create(flex, "a.sh", 60.5)[1:]).flags["--max-run-duration"] == "60s"
    for words in ("compute tpus queued-resources create a --max-run-duration=60s", "compute tpus tpu-vm explode a"):
        with pytest.raises(w.Refused):
            fake.parse(words.split())
    assert BUCKET and Patience().of("PROVISIONING") == 1800


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no verb"),
        ("upp w2v", "did you mean 'up'"),
        ("up", "no name"),
        ("up A --zone=us-west4-a --accelerator=v4-8", "name 'A': must be small letters"),
        ("up a --accelerator=v4-8", "--zone is missing"),
        ("up a --zone=us-west4 --accelerator=v4-8", "--zone='us-west4': must be a zone"),
        ("up a --zone=us-west4-a --accelerator=v5e", "--accelerator='v5e'"),
        ("up a --zone=us-west4-a --accelerator=v4-8 -- true", "only run takes a command"),
        ("run a --zone=us-west4-a --accelerator=v4-8", "no command"),
        ("run a --zone=us-west4-a --accelerator=v4-8 --max_hours=0 -- true", "--max_hours=0"),
        (
            "up a --zone=us-west4-a --accelerator=v4-8 --flex-start --spot",
            "--flex_start: is a kind of machine of its own",
        ),
        (
            "up a --zone=us-west4-a --accelerator=v4-8 --flex-start --max-hours=168",
            "--max_hours=168: with --flex_start",
        ),
        ("status never", "no machine 'never'"),
        ("list a", "list takes no name"),
        ("up a --zone=us-west4-a --accelerator=v4-8 --slices=0", "--slices=0"),
        ("up a --keep-alife", "did you mean 'keep_alive'"),
    ],
)
def test_bad_command_lines(words: str, message: str, tmp_path: Path) -> None:
    done = command("launch.tpu", f"--state_dir={tmp_path / 's'}", *shlex.split(words))
    assert done.status == 2 and message in done.err and len(done.err.strip().splitlines()) == 1, done.err
    assert not (tmp_path / "s").exists()


def test_the_lock_of_libtpu_is_removed_only_when_its_owner_is_dead(tmp_path: Path) -> None:
    file = tmp_path / "libtpu_lockfile"
    holder = "import sys, time; f = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(60)"
    assert lock.free_lock(str(file)) == ""
    with subprocess.Popen([sys.executable, "-c", holder, str(file)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"open\n"
        assert f"process {owner.pid} (" in lock.free_lock(str(file)) and file.exists()
        owner.kill()
        owner.wait()
    assert lock.free_lock(str(file)) == "" and not file.exists()


# ---- status: one sentence and the next command ----

GCLOUD: dict[str, dict[str, Any]] = {  # what the cloud is like -> the kind of trouble
    "no_login": {"logged_in": False},
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


def test_list_shows_what_nobody_remembers(play: Play) -> None:
    assert verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(**ONE)) is None
    play.run(plan.create(Machine("other", "us-west4-a", "v5litepod-8"), "/dev/null", 60.0), 5)
    assert verbs.listing(play.cloud("w2v"), play.state, "", "") is None
    assert play.said[-2].startswith("other  CREATING  asked for by another folder")
    assert play.said[-1] == "w2v  ACTIVE  no run"


def test_a_start_that_is_repeated_starts_nothing(play: Play) -> None:
    """As after a lost answer: the run of that id has ended, or goes on."""
    file = Path(play.folder) / "count"
    assert run(play, ["python", "-c", f"open({str(file)!r}, 'a').write('x')"], down=False, **ONE) is None
    reports, _ = workers.ask(play.cloud("w2v"), play.state.known("w2v").machine, "start")
    assert reports[0].state == "ended"
    time.sleep(0.5)
    assert file.read_text() == "x"
