"""The `gcloud` lines of the launcher, as argument lists. Pure functions: nothing is run and nothing is asked.

A machine is a queued resource of Cloud TPU: `up` asks for it, and its slices are nodes of the same name (NAME, or
NAME-0, NAME-1, ... for several slices). Syntax: https://cloud.google.com/sdk/gcloud/reference/compute/tpus.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from launch.cloud import names
from launch.cloud.accelerators import Slice, slice_of
from w2v_jax.errors import UserError

Line = list[str]
AGENT = "w2v_jax_agent.pyz"  # on every worker, in the home folder, beside SOURCE and SPEC
LATER_S = 600.0  # the machine deletes itself so long after the end of the paid hours, when nobody else has
SOURCE, SPEC = "w2v_jax_source.tar.gz", "w2v_jax_run.json"
OWNER = "w2v-jax-owner"  # label of a machine: the state folder that asked for it


@dataclasses.dataclass(frozen=True)
class Machine:
    """What is asked for. UserError: a value that gcloud would refuse, or read as something else."""

    name: str
    zone: str
    accelerator: str
    slices: int = 1
    spot: bool = False
    project: str = ""  # gcloud's default when empty; `up` and `run` write it here
    image: str = ""  # that of the accelerator when empty
    service_account: str = ""  # the default one of Compute Engine when empty
    network: str = ""
    internal_ips: bool = False
    valid_for: str = ""  # how long the request may wait in the queue; a little longer than the launcher when empty
    flex_start: bool = False  # Cloud TPU itself deletes the slices when the paid hours are over
    owner: str = ""  # drawn for each record, so that the machine of another folder is known by its label

    def __post_init__(self) -> None:
        names.check_name(self.name)
        names.check("zone", self.zone)
        if not self.accelerator:
            raise UserError("--accelerator is missing: the type and size of a slice, e.g. v5litepod-16")
        slice_of(self.accelerator)
        for key in ("project", "image", "service_account", "network", "valid_for", "owner"):
            if value := getattr(self, key):
                names.check(key, value)
        if not 1 <= self.slices <= 256:
            raise UserError(f"--slices={self.slices}: must be 1 to 256")
        if self.flex_start and self.spot:
            raise UserError("--flex_start: is a kind of machine of its own; leave --spot away")

    @property
    def piece(self) -> Slice:
        return slice_of(self.accelerator)

    @property
    def nodes(self) -> list[str]:
        """The names of its slices, as Cloud TPU gives them."""
        return [self.name] if self.slices == 1 else [f"{self.name}-{i}" for i in range(self.slices)]

    @property
    def workers(self) -> int:
        return self.slices * self.piece.hosts


def count(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def _line(machine: Machine, *words: str) -> Line:
    where = [f"--zone={machine.zone}", *([f"--project={machine.project}"] if machine.project else [])]
    return ["gcloud", "compute", "tpus", *words, *where]


def startup(machine: Machine, seconds: float) -> str:
    """The script that every worker runs when it starts: `seconds` after its first start it deletes the machine,
    whatever became of the launcher and of the run. The end is kept on its disk: after a reboot it is the same."""
    return (
        "#!/bin/bash\n"
        "# Written by launch.tpu: the end of the paid hours. The service account needs roles/tpu.admin for it.\n"
        "export PATH=$PATH:/snap/bin\n"
        "file=${HOME:-/root}/w2v_jax_end\n"
        "now=$(date +%s)\n"
        'end=$(grep -xE "[0-9]{1,12}" "$file" 2>/dev/null)\n'
        'if [ -z "$end" ]; then\n'
        f"  end=$((now + {max(1, int(seconds))}))\n"
        '  echo "$end" > "$file.part" && sync "$file.part" && mv "$file.part" "$file"\n'
        "fi\n"
        "sleep $((end > now ? end - now : 1))\n"
        f"for i in $(seq 60); do {shlex.join(delete(machine))} && break; sleep 60; done\n"
    )


def create(machine: Machine, script: str, seconds: float, waiting_s: float = 0.0) -> Line:
    """Asks for the machine, and returns before it is there. `script`: the file with `startup`, which ends it after
    `seconds`. With `flex_start` Cloud TPU ends it then, even where no worker lives: only that kind has the flag
    --max-run-duration (https://cloud.google.com/tpu/docs/request-using-flex-start).

    Cloud TPU ends the request itself where it waits longer than `valid_for`, or a little longer than `waiting_s`, the
    time after which a launcher that lives withdraws it.
    """
    count = [f"--node-id={machine.name}"]
    if machine.slices > 1:
        count = [f"--node-count={machine.slices}", f"--node-prefix={machine.name}"]
    options = {
        "--service-account": machine.service_account,
        "--network": machine.network,
        "--valid-until-duration": machine.valid_for or (f"{int(waiting_s + LATER_S)}s" if waiting_s else ""),
        "--labels": f"{OWNER}={machine.owner}" if machine.owner else "",
    }
    line = _line(
        machine,
        *("queued-resources", "create", machine.name, *count),
        f"--accelerator-type={machine.accelerator}",
        f"--runtime-version={machine.image or machine.piece.image}",
        *(["--spot"] if machine.spot else []),
        *(
            ["--provisioning-model=flex-start", f"--max-run-duration={max(1, int(seconds))}s"]
            if machine.flex_start
            else []
        ),
        *(["--internal-ips"] if machine.internal_ips else []),
        *(f"{key}={value}" for key, value in options.items() if value),
        f"--metadata-from-file=startup-script={script}",  # it ends the paid hours, for which it needs this scope
        "--scopes=https://www.googleapis.com/auth/cloud-platform",
        "--async",
    )
    return [line[0], "alpha", *line[1:]] if machine.flex_start else line


def describe(machine: Machine) -> Line:
    return _line(machine, "queued-resources", "describe", machine.name, "--format=json")


def describe_node(machine: Machine, node: str) -> Line:
    return _line(machine, "tpu-vm", "describe", node, "--format=json")


def delete(machine: Machine) -> Line:
    """Deletes the request and its slices, in whatever state they are."""
    return _line(machine, "queued-resources", "delete", machine.name, "--force", "--quiet", "--async")


def default_project() -> Line:
    return ["gcloud", "config", "get-value", "project"]


def list_requests(zone: str, project: str) -> Line:
    names.check("zone", zone)
    where = [f"--project={names.check('project', project)}"] if project else []
    return ["gcloud", "compute", "tpus", "queued-resources", "list", f"--zone={zone}", *where, "--format=json"]


def _reach(machine: Machine) -> list[str]:
    """Options of ssh and scp. Without external addresses they go through Identity-Aware Proxy."""
    return ["--tunnel-through-iap"] if machine.internal_ips else []


def copy(machine: Machine, node: str, files: Sequence[str], worker: str = "all") -> Line:
    """Copies files into the home folder of the workers of a slice."""
    return _line(machine, "tpu-vm", "scp", *files, f"{node}:", f"--worker={worker}", *_reach(machine), "--quiet")


def remote(machine: Machine, node: str, command: str, folder: str, worker: str = "all") -> Line:
    """Runs a shell command on the workers of a slice; what each prints goes into FOLDER/WORKER.log."""
    return _line(
        machine,
        *("tpu-vm", "ssh", node, f"--worker={worker}", f"--command={command}", f"--output-directory={folder}"),
        *_reach(machine),
        "--quiet",
    )


def bucket(name: str) -> Line:
    return ["gcloud", "storage", "buckets", "describe", f"gs://{name}", "--format=json"]


def agent(verb: str, *words: str) -> str:
    """The shell command that runs the agent on a worker: fixed words and numbers only."""
    for word in (verb, *words):
        if not word.replace("=", "").replace("-", "").isalnum():
            raise ValueError(f"{word!r}: only letters, digits, = and - go into a remote command")
    return " ".join(("python3", "-I", "-S", AGENT, verb, *words))
