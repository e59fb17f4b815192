"""Launching: real processes on this machine, joined by JAX; commands for Cloud TPU that are printed and not run."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import pytest

from experiments.common.config_flag import load
from launch import preflight
from launch.distributed import COORDINATOR, PROCESS_ID, PROCESSES, Place, managed, place
from launch.local import free_port
from launch.rollcall import missing_processes
from tests import commands
from w2v_jax.config import Config, MeshConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.scaling.study import Arm, Study, sized
from w2v_jax.train.programs import programs, stand_in

TINY = ("word2vec", Word2VecConfig(dim=8, window=2, segment=8, shared_negatives=4, negatives=2, sample=0.0))
ROOT = Path(__file__).resolve().parent.parent

PSUM = """
from launch.distributed import initialize
initialize()
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
mesh = Mesh(np.array(jax.devices()), ("d",))
full = np.array([1, 2, 3, 4], np.float32)
values = jax.make_array_from_callback((4,), NamedSharding(mesh, P("d")), lambda i: full[i])
summed = jax.jit(jax.shard_map(lambda x: jax.lax.psum(x, "d"), mesh=mesh, in_specs=P("d"), out_specs=P()))(values)
print("total", float(summed[0]), jax.process_count(), jax.local_device_count(), jax.device_count())
print("cached programs", jax.config.jax_enable_compilation_cache)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}


def local(*words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launch.local", *words]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=timeout)


def test_two_processes_sum_over_all_devices() -> None:
    done = local("--processes=2", "--devices=2", "--", "python", "-c", PSUM)
    assert done.returncode == 0, done.stderr
    for process in (0, 1):
        assert f"[{process}] total 10.0 2 2 4" in done.stdout
        assert f"[{process}] cached programs False" in done.stdout


def test_a_failing_process_ends_the_others_and_gives_its_status() -> None:
    code = f"import os, sys, time; sys.exit(7) if os.environ['{PROCESS_ID}'] == '1' else time.sleep(600)"
    done = local("--processes=3", "--", "python", "-c", code)
    assert done.returncode == 7, "it returned: the others were not waited for"
    assert "process 1 failed (exit status 7)" in done.stderr


def test_sigterm_is_passed_on_and_waited_for(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys, time\n"
        f"me = os.environ['{PROCESS_ID}']\n"
        "def stop(number, frame):\n"
        "    time.sleep(0.5); pathlib.Path('saved' + me).touch(); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, stop); pathlib.Path('ready' + me).touch()\n"
        "for _ in range(1200): time.sleep(0.05)  # a signal just before a long sleep would not end it\n"
    )
    command = [sys.executable, "-m", "launch.local", "--processes=2", "--", "python", "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE) as running:
        deadline = time.monotonic() + 100
        while not all((tmp_path / f"ready{i}").exists() for i in (0, 1)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=100) == 5
    assert (tmp_path / "saved0").exists() and (tmp_path / "saved1").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no command"),
        (("--", "no-such-command"), "no-such-command: cannot be started"),
        (("--procesess=2", "--", "ls"), "did you mean 'processes'?"),
    ],
)
def test_bad_command_lines(words: tuple[str, ...], message: str) -> None:
    done = local(*words)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_place_reads_the_three_variables() -> None:
    assert place({}) is None
    assert place({COORDINATOR: "host:80", PROCESSES: "4", PROCESS_ID: "3"}) == Place("host:80", 4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({COORDINATOR: ""}, f"{COORDINATOR} must be set too"),
        ({COORDINATOR: "host"}, "must be HOST:PORT"),
        ({PROCESSES: "two"}, "must be a whole number"),
        ({PROCESS_ID: "4"}, f"must be below {PROCESSES}=4"),
    ],
)
def test_place_names_what_is_wrong(change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        place({COORDINATOR: "host:80", PROCESSES: "4", PROCESS_ID: "3", **change})


def test_a_shell_inside_a_slurm_allocation_is_a_lone_process() -> None:
    assert managed({"JAX_PLATFORMS": "cpu", "SLURM_JOB_ID": "1", "SLURM_NTASKS": "8"}) is None
    assert managed({"JAX_PLATFORMS": "cpu", "SLURM_STEP_NUM_TASKS": "8"}) == "Slurm"


@pytest.mark.parametrize(("present", "missing"), [((0, 1, 2), []), ((0, 2), [1]), ((1, 2), [0])])
def test_roll_call_names_the_missing(present: tuple[int, ...], missing: list[int]) -> None:
    address = f"localhost:{free_port()}"
    answers: dict[int, list[int]] = {}

    def call(process_id: int) -> None:
        answers[process_id] = missing_processes(Place(address, 3, process_id), 1.5)

    threads = [threading.Thread(target=call, args=(i,)) for i in present]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert answers == dict.fromkeys(present, missing)


def test_roll_call_ignores_strangers() -> None:
    port = free_port()
    answers: list[list[int]] = []
    first = threading.Thread(target=lambda: answers.append(missing_processes(Place(f"localhost:{port}", 2, 0), 3)))
    first.start()
    for message in (b"GET / HTTP/1.1\n", b"7\n", b"\xff\xff\n"):
        for _ in range(50):
            try:
                with socket.create_connection(("localhost", port), timeout=1) as stranger:
                    stranger.sendall(message)
                break
            except OSError:
                time.sleep(0.02)
    assert missing_processes(Place(f"localhost:{port}", 2, 1), 3) == []
    first.join(timeout=10)
    assert answers == [[]]


def test_preflight_names_a_missing_process(tmp_path: Path) -> None:
    config = tmp_path / "tiny.py"
    config.write_text(
        "from w2v_jax.config import Config\nfrom w2v_jax.models import MODELS\n"
        "def get_config():\n"
        "    return Config(family='word2vec', model=MODELS['word2vec'].examples[0])\n"
    )
    where = {COORDINATOR: f"localhost:{free_port()}", PROCESSES: "2", PROCESS_ID: "0"}
    command = [sys.executable, "-m", "launch.preflight", f"--config={config}", "--timeout=1"]
    environ = {**environment(), **where}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "missing after 1 s: process 1 of 2" in done.stdout
    assert "Traceback" not in done.stderr


@dataclasses.dataclass(frozen=True)
class Device:
    """A device that is not there."""

    id: int
    process_index: int
    platform: str = "cpu"


@pytest.mark.parametrize(
    ("data", "model", "batch", "message"),
    [
        (0, 2, 64, None),
        (4, 2, 64, None),
        (0, 3, 64, "mesh.model=3: does not divide the 8 devices"),
        (2, 2, 64, "with several processes all 8 devices must take part"),
        (0, 1, 60, "train.batch_size=60: must be a multiple of model.segment=8"),
        (0, 1, 32, "train.batch_size=32, model.segment=8: makes 4 rows a batch, which do not divide over mesh.data=8"),
        (0, 8, 64, "and mesh.model must divide the 4 of each process"),
    ],
)
def test_preflight_mesh(data: int, model: int, batch: int, message: str | None) -> None:
    """By rows, as the run divides them, on 8 devices of 2 processes."""
    devices = [Device(i, i // 4) for i in range(8)]
    config = Config(*TINY, train=TrainConfig(batch_size=batch), mesh=MeshConfig(data=data, model=model))
    if message is None:
        assert "data 4 x model 2; 8 rows a batch = 4 x 2" in preflight.check_mesh(config, devices)
    else:
        with pytest.raises(UserError, match=re.escape(message)):
            preflight.check_mesh(config, devices)


def test_preflight_workdir(tmp_path: Path) -> None:
    assert "can be written" in preflight.check_workdir(str(tmp_path / "new" / "run"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder"):
        preflight.check_workdir(str(tmp_path / "file" / "run"))


def test_preflight_compiles_training_and_scoring() -> None:
    config = Config(*TINY, train=TrainConfig(batch_size=64, steps_per_call=2))
    line = preflight.check_step(config, None, 300)
    assert re.search(r"V = 300; training compiled in .* arguments .*; scoring of 8 held-out batches compiled in", line)
    assert line.count("working space") == 2 and line.endswith(
        "the run compiles training again, for the length of its text"
    )
    with pytest.raises(UserError, match="vocab_size"):
        preflight.check_step(config, None, 0)


def test_preflight_of_a_study(capsys: pytest.CaptureFixture[str]) -> None:
    """A line an arm; a size whose rows do not divide is named with its keys."""
    run = Config(*TINY, train=TrainConfig(batch_size=64, steps_per_call=2), mesh=MeshConfig(data=1))
    wide = dataclasses.replace(run, mesh=MeshConfig())
    arms = {
        "good": Arm(run, ("model.dim=4", "model.dim=16", "model.dim=8")),
        "bad": Arm(wide, ("train.batch_size=64", "train.batch_size=32")),
    }
    failed = preflight.preflight(Study(run.data, arms, tokens=(1000,), vocabulary=300), "", "", 50_000, 1)
    lines = capsys.readouterr().out.splitlines()
    assert failed == 1 and "a study of 2 arms" in lines[1]
    assert lines[-2].startswith(
        "ok    arm good: 3 sizes lower; the largest, 'model.dim=16': V = 300; training compiled"
    )
    assert lines[-1].startswith(
        "FAIL  arm bad: size 'train.batch_size=32': train.batch_size=32, model.segment=8: makes 4"
    )


@pytest.mark.parametrize("file", sorted(f for f in (ROOT / "configs/scaling").glob("[a-z]*.py")), ids=lambda f: f.stem)
def test_every_size_of_every_study_fits_eight_devices(file: Path) -> None:
    """Its rows and arrays divide, and its values can be."""
    study = load(str(file), Study)
    for arm in study.arms.values():
        for size in arm.sizes:
            config = dataclasses.replace(sized(arm.run, size), data=study.data)
            made = programs(config, stand_in(config, 2000))
            assert made.mesh.size in (1, 8) and jax.tree.leaves(made.state.params)


def test_preflight_takes_a_study_file() -> None:
    arms = ("transformer", "lstm", "elementwise", "shared_kv")
    mesh = [f"--config.arms.{arm}.run.mesh.model=3" for arm in arms]
    running = commands.start("-m", "launch.preflight", "--config=configs/scaling/synthetic.py", *mesh)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 2 and err.strip() == "error: 4 checks failed"
    failed = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert sorted(line.split(":")[0] for line in failed) == sorted(f"FAIL  arm {arm}" for arm in arms)
    assert all("mesh.model=3: does not divide the 8 devices" in line for line in failed)
