"""Files for GKE and Slurm: golden files, and their structure read back."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from launch.cloud import render
from tests.commands import run
from w2v_jax.errors import UserError

GOLDEN = Path(__file__).parent / "golden"
IMAGE = "us-docker.pkg.dev/my-project-1/w2v/w2v:1"
TRAIN = "python -m experiments.train --config=configs/lm1b_pod.py --workdir=gs://my-bucket/lm1b"
GPT2 = TRAIN.replace("lm1b_pod", "gpt2_pod")
GKE = f"launch.render gke w2v --accelerator=v5litepod-16 --image={IMAGE}"
FILES = {
    "gke_one_slice.yaml": f"{GKE} -- {TRAIN}",
    "gke_two_slices_spot.yaml": f"{GKE} --slices=2 --spot --service_account=trainer --max_hours=12 -- {TRAIN}",
    "gke_v5p.yaml": f"launch.render gke gpt2 --accelerator=v5p-128 --image={IMAGE} -- {TRAIN}",
    "slurm_one_node.sh": f"launch.render slurm w2v -- {GPT2}",
    "slurm_two_nodes.sh": "launch.render slurm w2v --nodes=2 --gpus=4 --time=2-00:00:00 --partition=gpu --account=lab "
    f"--folder='/home/me/w2v jax' -- {TRAIN}",
}


@pytest.mark.parametrize("name", FILES)
def test_rendered_files_are_as_committed(name: str) -> None:
    """A wanted change is committed with W2V_JAX_GOLDEN=1 in the environment of pytest."""
    done = run(*shlex.split(FILES[name]))
    assert done.status == 0, done.err
    if os.environ.get("W2V_JAX_GOLDEN"):
        (GOLDEN / name).write_text(done.out)
    assert done.out == (GOLDEN / name).read_text()


def test_a_job_set_has_a_pod_for_each_host_and_all_chips() -> None:
    yaml = pytest.importorskip("yaml")
    words = [
        "python",
        "-c",
        "yes",
        "off",
        "1",
        "1e3",
        "a: b",
        "#x",
        "$(HOME)",
        "new\nline",
        "'",
        '"',
        "é",
        "-",
        "~",
        "",
    ]
    found = yaml.safe_load(render.jobset("w2v", "v6e-64", IMAGE, words, slices=2))
    [job] = found["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    assert job["replicas"] == 2 and spec["completions"] == spec["parallelism"] == 16
    assert container["resources"]["limits"]["google.com/tpu"] * 16 == 64
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == "8x8"
    assert container["command"] == [word.replace("$(", "$$(") for word in words], "each word whole, and a string"


def test_a_batch_script_is_shell_and_carries_the_command_whole(tmp_path: Path) -> None:
    words = ["printf", "<%s>", "two words", "$(touch x)", "a;b", "'"]
    script = render.slurm("w2v", words, folder=str(tmp_path))
    for name in ("srun", "scontrol"):
        (tmp_path / name).write_text('#!/bin/bash\n[ "$1" = requeue ] && exit\nshift\n"$@"\n')
        (tmp_path / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stdout == "<two words><$(touch x)><a;b><'>"
    assert not (tmp_path / "x").exists()


def test_sigterm_of_slurm_reaches_the_run_and_queues_the_job_again(tmp_path: Path) -> None:
    (tmp_path / "srun").write_text(
        "#!/bin/bash\ntrap 'echo saved; exit 143' TERM\necho on; while :; do sleep 0.05; done\n"
    )
    (tmp_path / "scontrol").write_text('#!/bin/bash\necho "$@"\n')
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    script = render.slurm("w2v", ["true"], folder=str(tmp_path))
    with subprocess.Popen(["bash", "-c", script], env=environ, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stdout.readline() == "on\n"
        job.terminate()
        out, _ = job.communicate(timeout=20)
    assert out == "saved\nrequeue 7\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no name"),
        ("gke w2v -- true", "--accelerator is missing"),
        ("gkee w2v -- true", "did you mean 'gke'"),
        ("gke W -- true", "name 'W'"),
        ("gke w2v --accelerator=v5litepod-16 -- true", "--image=''"),
        (f"gke w2v --accelerator=v5litepod-16 --image={IMAGE}", "no command"),
        (f"gke w2v --accelerator=v5litepod-8 --slices=2 --image={IMAGE} -- true", "slices of several hosts"),
        (f"gke w2v --accelerator=v5litepod-16 --image='{IMAGE};x' -- true", "--image="),
        ("slurm w2v --nodes=0 -- true", "--nodes=0"),
        ("slurm w2v --time=soon -- true", "--time='soon'"),
        ("slurm w2v --time=0:00:00 -- true", "must be more than 5 minutes"),
        ("slurm w2v --time=0-0:05:00 -- true", "must be more than 5 minutes"),
        (f"slurm w2v -- {TRAIN}", "mesh.model must divide the 1 of each process"),
        (f"{GKE.partition(' ')[2]} -- {TRAIN} --config.mesh.model=3", "mesh.model=3: does not divide the 16 devices"),
        (f"slurm w2v -- {TRAIN} --config.train.pases=3", "'train.pases' (did you mean 'train.passes'?)"),
        ("slurm w2v --partition='a b' -- true", "--partition='a b'"),
        ("slurm w2v -- train --workdir=gs://B", "is no name of a bucket"),
    ],
)
def test_bad_command_lines(words: str, message: str) -> None:
    done = run("launch.render", *shlex.split(words))
    assert done.status == 2 and message in done.err and len(done.err.strip().splitlines()) == 1
    assert done.out == ""


def test_no_line_of_a_batch_script_is_made_by_a_value() -> None:
    for key in ("partition", "account", "folder"):
        with pytest.raises(UserError, match=f"--{key}"):
            render.slurm("w2v", ["true"], **{key: "a\n#SBATCH --nodes=9"})  # type: ignore[arg-type]
