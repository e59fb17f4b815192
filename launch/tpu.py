"""Runs a command on a Cloud TPU.

    python -m launch.tpu --name=w2v --zone=us-west4-a --accelerator=v5litepod-16 -- COMMAND

Prints shell lines that create the machine (or queue for one), copy this commit to every worker, install it there and
run the command on all workers. Only `--yes` runs the lines, one by one. A TPU costs money from the moment it is ready
until it is deleted; the last printed line deletes it. A spot machine that is taken away loses its disk: keep
`--workdir` on a mounted bucket or disk, and the same command continues from the last checkpoint there.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from experiments.common import cli
from w2v_jax.errors import UserError

# Machine images by the first part of the accelerator's name; v2 to v4 use the general one.
_IMAGES = {"v5litepod": "v2-alpha-tpuv5-lite", "v5p": "v2-alpha-tpuv5", "v6e": "v2-alpha-tpuv6e"}
_GENERAL_IMAGE = "tpu-ubuntu2204-base"

# The images bring Python 3.10; uv fetches a newer one without root.
_INSTALL = (
    "cd w2v_jax && python3 -m pip install --quiet --user uv && ~/.local/bin/uv python install --quiet 3.12"
    " && make venv PYTHON=$(~/.local/bin/uv python find --no-project 3.12)"
    " && .venv/bin/pip install --quiet -e '.[tpu]' -c constraints-py312.txt"
)


class Plan(NamedTuple):
    """The machine to create, and the command to run there."""

    name: str
    zone: str
    accelerator: str
    command: str  # one shell line
    project: str = ""
    image: str = ""
    spot: bool = False
    queued: bool = False
    valid_for: str = ""  # time that a queued request waits, e.g. 6h
    repository: str = ""  # the workers clone it; if empty, this commit is copied


def check(plan: Plan) -> None:
    """UserError: gcloud would refuse the plan, some values only after it was asked for a machine."""
    forms = {
        "name": (r"[a-z]([a-z0-9-]{0,60}[a-z0-9])?", "small letters, digits and hyphens, a letter first"),
        "zone": (r"[a-z]+-[a-z]+[0-9]+-[a-z]", "a zone such as us-west4-a"),
        "accelerator": (r"v[0-9][a-z0-9]*-[0-9]+", "a type such as v5litepod-16, v5p-8 or v6e-256"),
    }
    for key, (form, need) in forms.items():
        value = getattr(plan, key)
        if not value:
            usage = "python -m launch.tpu --name=... --zone=... --accelerator=... -- COMMAND"
            raise UserError(f"--{key} is missing: {usage}")
        if not re.fullmatch(form, value):
            raise UserError(f"--{key}={value!r}: must be {need}")
    if not plan.command:
        raise UserError("no command: give it after --, e.g. -- python -m experiments.train --config=...")
    for key, value in plan._asdict().items():
        if key != "command" and isinstance(value, str) and value.startswith("-"):
            raise UserError(f"--{key}={value}: must not begin with '-', which makes it an option of another command")
    if plan.valid_for and not plan.queued:
        raise UserError(f"--valid_for={plan.valid_for}: only a queued request waits; add --queued")


def _gcloud(plan: Plan, *words: str) -> str:
    where = [f"--zone={plan.zone}", *([f"--project={plan.project}"] if plan.project else [])]
    return shlex.join(["gcloud", "compute", "tpus", *words, *where])


def _create(plan: Plan) -> list[str]:
    image = plan.image or _IMAGES.get(plan.accelerator.split("-")[0], _GENERAL_IMAGE)
    spot = ["--spot"] if plan.spot else []
    kind = f"--accelerator-type={plan.accelerator}"
    if not plan.queued:
        return [_gcloud(plan, "tpu-vm", "create", plan.name, kind, f"--version={image}", *spot)]
    valid = [f"--valid-until-duration={plan.valid_for}"] if plan.valid_for else []
    words = ("queued-resources", "create", plan.name, f"--node-id={plan.name}", kind, f"--runtime-version={image}")
    state = _gcloud(plan, "queued-resources", "describe", plan.name, "--format=value(state.state)")
    # FAILED and SUSPENDED end the loop: such a request never becomes ACTIVE.
    wait = (
        f'state=; until [ "${{state:=$({state})}}" = ACTIVE ]; do case "$state" in FAILED|SUSPENDED) '
        f'echo "the request is $state" >&2; exit 1;; esac; echo "$state"; sleep 30; state=; done'
    )
    return [_gcloud(plan, *words, *spot, *valid), wait]


def _copy(plan: Plan) -> list[str]:
    if plan.repository:
        return [_everywhere(plan, f"rm -rf w2v_jax && git clone --depth 1 -- {shlex.quote(plan.repository)} w2v_jax")]
    archive = f"/tmp/{plan.name}-w2v_jax.tar.gz"
    return [
        shlex.join(["git", "archive", "--format=tar.gz", "--prefix=w2v_jax/", f"--output={archive}", "HEAD"]),
        _gcloud(plan, "tpu-vm", "scp", archive, f"{plan.name}:w2v_jax.tar.gz", "--worker=all"),
        _everywhere(plan, "tar xzf w2v_jax.tar.gz"),
    ]


def _everywhere(plan: Plan, command: str) -> str:
    return _gcloud(plan, "tpu-vm", "ssh", plan.name, "--worker=all", f"--command={command}")


def _run(plan: Plan) -> str:
    # In a session of its own, so that the run outlives a lost connection. `tail` follows its output.
    inner = shlex.quote(f". .venv/bin/activate && {plan.command}")
    return _everywhere(
        plan,
        f"cd w2v_jax && : > ../run.log && {{ setsid nohup bash -c {inner} >> ../run.log 2>&1 < /dev/null & }}"
        " && run=$! && tail --pid=$run -n +1 -f ../run.log; wait $run",
    )


def steps(plan: Plan) -> list[str]:
    """The shell lines in order. UserError: see `check`."""
    check(plan)
    return [*_create(plan), *_copy(plan), _everywhere(plan, _INSTALL), _run(plan)]


def delete(plan: Plan) -> str:
    """The shell line that deletes the machine and so ends the bill."""
    if plan.queued:
        return _gcloud(plan, "queued-resources", "delete", plan.name, "--force", "--quiet")
    return _gcloud(plan, "tpu-vm", "delete", plan.name, "--quiet")


def main(argv: Sequence[str]) -> int:
    """Prints or runs the plan for the command that follows `--`; returns the exit status."""
    values = {key: getattr(flags.FLAGS, key) for key in Plan._fields if key != "command"}
    plan = Plan(command=shlex.join(argv[1:]), **values)
    lines = steps(plan)
    git = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False)
    if not plan.repository and (git.returncode or git.stdout.strip()):
        print("warning: there are uncommitted changes, which are not copied", file=sys.stderr)
    for line in lines:
        print(line, flush=True)
        if flags.FLAGS.yes and (status := subprocess.run(["bash", "-c", line], check=False).returncode):
            print(f"error: that step failed (exit status {status}). To stop paying: {delete(plan)}", file=sys.stderr)
            return status
    print(f"# at the end, to stop paying:\n{delete(plan)}")
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("name", "", "Name of the machine.")
    flags.DEFINE_string("zone", "", "Zone, e.g. us-west4-a.")
    flags.DEFINE_string("accelerator", "", "Type and size, e.g. v5litepod-16.")
    flags.DEFINE_string("project", "", "Cloud project; gcloud's default when empty.")
    flags.DEFINE_string("image", "", "Machine image; chosen by the accelerator when empty.")
    flags.DEFINE_bool("spot", False, "Cheaper, and may be taken away at any time.")
    flags.DEFINE_bool("queued", False, "Wait in the queue instead of failing when none is free.")
    flags.DEFINE_string("valid_for", "", "Time that a queued request waits, e.g. 6h.")
    flags.DEFINE_string("repository", "", "URL that the workers clone; this commit is copied when empty.")
    flags.DEFINE_bool("yes", False, "Run the commands instead of printing them. This costs money.")
    cli.run(main, arguments=None)
