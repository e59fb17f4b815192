"""The same run as files for other schedulers: a JobSet for GKE, and a batch script for Slurm. Pure functions."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from launch.cloud import names, prices
from launch.cloud.accelerators import Slice, slice_of
from w2v_jax.errors import UserError

_IMAGE = r"[a-z0-9][a-zA-Z0-9._/:@-]{2,250}"
_TIME = r"([0-9]+-)?[0-9]{1,3}:[0-5][0-9]:[0-5][0-9]"
_ENDING_S = 300  # before the end of its time a batch job gets SIGTERM; 0:00:00 means no limit
_WORD = r"[A-Za-z0-9_.:,@%+=/-]{1,120}"


def _quoted(text: str) -> str:
    """A YAML string: that of JSON, which YAML includes."""
    return json.dumps(text, ensure_ascii=False)


def _yaml(value: Any, depth: int = 0) -> list[str]:
    """The lines of nested dictionaries, lists, strings and numbers."""
    pad = "  " * depth
    lines: list[str] = []
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, Mapping | list):
                lines += [f"{pad}{key}:", *_yaml(inner, depth + 1)]
            else:
                lines.append(f"{pad}{key}: {_scalar(inner)}")
        return lines
    for item in value:
        if isinstance(item, Mapping):
            first, *rest = _yaml(item, depth + 1)
            lines += [f"{pad}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{pad}- {_scalar(item)}")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if re.fullmatch(r"[A-Za-z][A-Za-z0-9./-]*", value) and value.lower() not in _WORDS else _quoted(value)


_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")  # that YAML does not read as strings


def jobset(
    name: str,
    accelerator: str,
    image: str,
    argv: Sequence[str],
    slices: int = 1,
    restarts: int = 20,
    service_account: str = "",
    spot: bool = False,
    max_hours: float = 24.0,
) -> str:
    """A JobSet (jobset.x-k8s.io/v1alpha2): one job a slice, one pod a host.

    All pods are started again when one fails, at most `restarts` times, and the command then goes on from its
    checkpoint. GKE tells each pod which host of which slice it is. UserError: a value that cannot stand there.
    """
    names.check_name(name)
    piece = _slice(accelerator, slices)
    if not re.fullmatch(_IMAGE, image):
        raise UserError(
            f"--image={image!r}: must be a container image with this project, e.g. us-docker.pkg.dev/P/R/w2v:1"
        )
    if service_account and not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", service_account):
        raise UserError(f"--service_account={service_account!r}: must be the name of a Kubernetes service account")
    _command(argv)
    selector = {
        "cloud.google.com/gke-tpu-accelerator": piece.gke,
        "cloud.google.com/gke-tpu-topology": piece.topology,
        **({"cloud.google.com/gke-spot": "true"} if spot else {}),
    }
    chips = {"google.com/tpu": piece.chips_per_host}
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 120,  # the run saves after SIGTERM
        "nodeSelector": selector,
        **({"serviceAccountName": service_account} if service_account else {}),
        "containers": [
            {
                "name": "train",
                "image": image,
                "command": [word.replace("$(", "$$(") for word in argv],  # or Kubernetes fills in a variable
                "ports": [{"containerPort": 8471}, {"containerPort": 8080}],
                "resources": {"requests": chips, "limits": chips},
            }
        ],
    }
    job = {
        "backoffLimit": 0,
        "completionMode": "Indexed",
        "completions": piece.hosts,
        "parallelism": piece.hosts,
        "activeDeadlineSeconds": int(max_hours * 3600),
        "template": {"spec": pod},
    }
    document = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": name,
            "annotations": {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"},
        },
        "spec": {
            "failurePolicy": {"maxRestarts": restarts},
            "replicatedJobs": [{"name": "slice", "replicas": slices, "template": {"spec": job}}],
        },
    }
    head = (
        f"# {piece.chips * slices} chips, {piece.hosts * slices} hosts: {slices} x {accelerator}. kubectl apply -f FILE"
    )
    cost = prices.sentence(accelerator, slices, spot, max_hours, "")
    times = f"for one start; --restarts={restarts} allows {restarts + 1} of them"
    return "\n".join([head, f"# {cost}", f"# {times}", *_yaml(document)]) + "\n"


def slurm(
    name: str,
    argv: Sequence[str],
    nodes: int = 1,
    gpus: int = 8,
    time: str = "24:00:00",
    partition: str = "",
    account: str = "",
    folder: str = "",
) -> str:
    """A batch script: one process for each GPU, joined by JAX, which reads Slurm's own variables.

    Slurm sends SIGTERM five minutes before the end of the time, the run saves, and the script queues itself again.
    UserError: a value that cannot stand there.
    """
    names.check_name(name)
    for key, number, most in (("nodes", nodes, 4096), ("gpus", gpus, 64)):
        if not 1 <= number <= most:
            raise UserError(f"--{key}={number}: must be 1 to {most}")
    if not re.fullmatch(_TIME, time):
        raise UserError(f"--time={time!r}: must be [DAYS-]HOURS:MINUTES:SECONDS, e.g. 24:00:00")
    days, _, clock = time.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    if ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds <= _ENDING_S:
        raise UserError(
            f"--time={time!r}: must be more than {_ENDING_S // 60} minutes: so long before the end Slurm ends the run"
        )
    for key, value in (("partition", partition), ("account", account)):
        if value and not re.fullmatch(_WORD, value):
            raise UserError(f"--{key}={value!r}: must be one word of letters, digits and _ . : - /")
    if "\n" in folder:
        raise UserError(f"--folder={folder!r}: must be one line")
    _command(argv)
    options = {
        "job-name": name,
        "nodes": nodes,
        "ntasks-per-node": gpus,
        "gpus-per-node": gpus,
        "time": time,
        **({"partition": partition} if partition else {}),
        **({"account": account} if account else {}),
        "signal": f"B:TERM@{_ENDING_S}",
        "open-mode": "append",
        "output": f"{name}-%j.log",
    }
    lines = ["#!/bin/bash", *(f"#SBATCH --{key}={value}" for key, value in options.items()), "#SBATCH --requeue", ""]
    lines += [
        "# SIGTERM goes on to every process, which saves; then the job waits in the queue again, and continues.",
        "requeue() {",
        '  kill -TERM "$!"; wait "$!"',
        '  scontrol requeue "$SLURM_JOB_ID"',
        "}",
        "trap requeue TERM",
        f"cd {shlex.quote(folder)} || exit 2" if folder else 'cd "$SLURM_SUBMIT_DIR" || exit 2',
        f"srun --kill-on-bad-exit=1 {shlex.join(argv)} &",
        'wait "$!"',
    ]
    return "\n".join(lines) + "\n"


def _slice(accelerator: str, slices: int) -> Slice:
    if not accelerator:
        raise UserError("--accelerator is missing: the type and size of a slice, e.g. v5litepod-16")
    piece = slice_of(accelerator)
    if not 1 <= slices <= 256:
        raise UserError(f"--slices={slices}: must be 1 to 256")
    if slices > 1 and piece.hosts == 1:
        raise UserError(f"--slices={slices}: GKE joins slices of several hosts only; {accelerator} is one host")
    if not piece.topology:
        raise UserError(
            f"--accelerator={accelerator}: the table of launch/cloud/accelerators.py has no topology for it"
        )
    return piece


def _command(argv: Sequence[str]) -> None:
    if not argv:
        raise UserError(
            "no command: give it after --, e.g. -- python -m experiments.train --config=... --workdir=gs://..."
        )
    names.buckets(argv)
