"""What can go wrong, each with one sentence, the next command, and whether trying again helps.

A rule reads the text of one kind of place: `gcloud` (its errors, and the error of a request that failed), `install`,
`lock` or `run` (the last lines of a worker's log). The first rule that fits counts, so that the order matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from launch.cloud.plan import Machine
from launch.cloud.workers import Report

NO, RUN, MACHINE = "no", "run", "machine"  # what is tried again: nothing, the run, the run on a new machine


class Trouble(NamedTuple):
    """What is wrong with a machine or its run."""

    key: str
    sentence: str
    next: str  # a command, or what to do
    retry: str = NO

    def __str__(self) -> str:
        return f"{self.sentence}\nnext: {self.next}"


class Stopped(Exception):
    """The launcher cannot go on; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.sentence)
        self.trouble = trouble


class _Rule(NamedTuple):
    key: str
    places: str
    pattern: str
    sentence: str
    next: str
    retry: str = NO


_TPU = "python -m launch.tpu"
_QUOTAS = "https://console.cloud.google.com/iam-admin/quotas?service=tpu.googleapis.com"
# Sentences may hold {name}, {zone}, {accelerator}, {who} (a worker); they get the text that fitted behind them.
_RULES = (
    _Rule(
        "no_login", "gcloud", r"active account selected|gcloud auth login|Reauthentication|invalid_grant",
        "gcloud is not logged in", "gcloud auth login",
    ),
    _Rule(
        "no_project", "gcloud", r"attribute \[project\]|property \[project\]",
        "gcloud knows no project", "gcloud config set project PROJECT, or --project=PROJECT",
    ),
    _Rule(
        "no_api", "gcloud", r"SERVICE_DISABLED|API has not been used|API .*is not enabled|it is disabled",
        "the Cloud TPU API is not enabled in the project", "gcloud services enable tpu.googleapis.com{project}",
    ),
    _Rule(
        "no_quota", "gcloud", r"Quota (limit )?'?[\w-]+'? (has been )?(exceeded|exhausted)|QUOTA_EXCEEDED|quota metric",
        "no quota: the project may not have so many {generation} chips in {zone}",
        f"ask for more at {_QUOTAS}, or take a smaller --accelerator; "
        f"{_TPU} list --zone={{zone}} shows what holds quota",
    ),
    _Rule(
        "no_capacity", "gcloud",
        r"no more capacity|[Ii]nsufficient (reserved )?capacity|RESOURCE_POOL_EXHAUSTED|stockout",
        "no capacity: {zone} has no free {accelerator} now",
        f"{_TPU} run {{name}} --keep_alive --yes tries again; or another zone: {_TPU} down {{name}} --yes first",
        MACHINE,
    ),
    _Rule(
        "queue_over", "gcloud", r"valid.until|expired before|time out waiting for resources",
        "the request waited in the queue as long as it may, and got no {accelerator}",
        f"{_TPU} up {{name}} --yes asks again; another --zone or --spot may be quicker", MACHINE,
    ),
    _Rule(
        "bad_zone", "gcloud",
        r"[Ll]ocation .*(not found|is not found|invalid|does not exist|on 'locations/)|Permission denied on 'locations/"
        r"|[Zz]one .*(does not exist|not found|is not valid)|unexpected location",
        "Cloud TPU has no zone {zone}, or not for this project", "gcloud compute tpus locations list",
    ),
    _Rule(
        "no_account", "gcloud", r"iam\.serviceAccounts\.actAs|[Ss]ervice account .*(does not exist|not found)",
        "the service account of the machine is missing, or may not be used by you",
        "gcloud iam service-accounts list; see docs/tpu.md, Service account",
    ),
    _Rule(
        "no_permission", "gcloud",
        r"PERMISSION_DENIED|does not have permission|[Pp]ermission '[\w.]+' denied|Required '[\w.]+' permission",
        "no permission: your account may not use Cloud TPU in this project",
        "have roles/tpu.admin granted to you, see docs/tpu.md",
    ),
    _Rule(
        "bad_image", "gcloud", r"([Rr]untime|[Ss]oftware).{0,20}version.*(not found|[Ii]nvalid|unknown|does not exist)",
        "the machine image is unknown in {zone}", "gcloud compute tpus tpu-vm versions list --zone={zone}",
    ),
    _Rule(
        "bad_accelerator", "gcloud", r"[Aa]ccelerator.{0,5}[Tt]ype.*(not found|not available|[Ii]nvalid|unknown)",
        "{zone} has no {accelerator}", "gcloud compute tpus accelerator-types list --zone={zone}",
    ),
    _Rule(
        "mismatch", "install run",
        r"libtpu mismatch|libtpu.*(too old|too new|incompatib|not compatible)|PJRT.*API.*version|TPU driver.*version"
        r"|Expected libtpu|libtpu version .* (does not|required)",
        "{who}: jax, libtpu and the machine image do not belong together",
        f"{_TPU} down {{name}} --yes, then up without --image; pairs are in launch/cloud/pairs.toml",
    ),
    _Rule(
        "disk_full", "install run", r"No space left|no space is left|Disk quota exceeded",
        "{who}: its disk is full", "put --workdir and --config.data.cache_dir on a bucket, or take a larger boot disk",
    ),
    _Rule(
        "install_failed", "install", r"",
        "{who}: the install failed", f"{_TPU} logs {{name}} --worker={{rank}}", RUN,
    ),
    _Rule(
        "lock_held", "lock run", r"is held by|TPU is already in use by|libtpu.so (is )?already in use",
        "{who}: another process uses the TPU", f"end that process, or {_TPU} down {{name}} --yes",
    ),
    _Rule(
        "no_bucket_permission", "run",
        r"does not have storage\.|storage\.(objects|buckets)\.\w+.*(access|denied)|Anonymous caller|(403|denied).*gs://"
        r"|gs://\S+: permission denied",
        "{who}: the machine's service account may not use the bucket",
        "gcloud storage buckets add-iam-policy-binding gs://BUCKET --member=serviceAccount:ACCOUNT "
        "--role=roles/storage.objectAdmin",
    ),
    _Rule(
        "no_bucket", "run", r"specified bucket does not exist|bucket .{0,80}(does not exist|not found)|404.*gs://",
        "{who}: the bucket does not exist", "gcloud storage buckets create gs://BUCKET --location={region}",
    ),
    _Rule(
        "no_data", "run", r"is not prepared under|[Dd]ataset .*(not found|not prepared)|no such file or folder",
        "{who}: the data is not prepared",
        "prepare it once on one machine, with --config.data.offline=False; see docs/tpu.md, Data",
    ),
    _Rule(
        "oom_compile", "run",
        r"(?s)[Cc]ompil.{0,200}[Rr]an out of memory|Ran out of memory in memory space hbm|Exceeded hbm capacity"
        r"|RESOURCE_EXHAUSTED.{0,80}[Cc]ompil",
        "{who}: out of memory at compile: the program does not fit the chips",
        "python -m launch.preflight --config=CONFIG --topology=... says what fits",
    ),
    _Rule(
        "oom_run", "run", r"RESOURCE_EXHAUSTED|[Oo]ut of memory|MemoryError|Cannot allocate memory|[Kk]illed process",
        "{who}: out of memory at run", "a smaller --config.train.batch_size, or --config.mesh.fsdp=True",
    ),
    _Rule(
        "peers", "run",
        r"[Hh]eartbeat|[Cc]oordination service|Barrier|missing after|peers? (is|are) gone|cannot join the run",
        "{who}: it lost the other processes of the run", f"{_TPU} run {{name}} --yes goes on from the checkpoint", RUN,
    ),
    _Rule(
        "diverged", "run", r"the loss is not finite|diverged",
        "{who}: the loss diverged", "a smaller --config.optimizer.learning_rate",
    ),
    _Rule(
        "no_server", "run", r"(?m)^error: gs://.*: the server gives an error .*",
        "{who}: the bucket does not answer", f"{_TPU} run {{name}} --yes goes on from the checkpoint", RUN,
    ),
    _Rule(
        "bad_input", "run", r"(?m)^error: ", "{who}: the command refused its input", "correct the command and run it",
    ),
)  # fmt: skip


def kinds() -> list[str]:
    """The kinds of trouble that a text tells."""
    return [rule.key for rule in _RULES]


def table() -> list[tuple[str, str, str]]:
    """(kind, sentence, next) of every kind that a text tells, for a machine NAME in ZONE: for the documentation."""
    stand_in = Machine("name", "us-west4-a", "v5litepod-16")
    return [
        (rule.key, _fill(rule.sentence, stand_in, "worker 2", 2), _fill(rule.next, stand_in, "worker 2", 2))
        for rule in _RULES
    ]


def _fill(text: str, machine: Machine, who: str = "", rank: int = 0) -> str:
    return text.format(
        name=machine.name,
        zone=machine.zone,
        region=machine.zone.rpartition("-")[0],
        accelerator=machine.accelerator,
        generation=machine.piece.generation,
        project=f" --project={machine.project}" if machine.project else "",
        who=who,
        rank=rank,
    )


def of_text(place: str, text: str, machine: Machine, who: str = "", rank: int = 0) -> Trouble | None:
    """What a text of that place tells; None when no rule fits."""
    for rule in _RULES:
        if place in rule.places.split() and (match := re.search(rule.pattern, text)):
            lines = text.splitlines() or [""]
            at = text[: match.start()].count("\n")
            quoted = lines[at].strip()[:300]
            return Trouble(
                rule.key,
                _fill(rule.sentence, machine, who, rank) + (f": {quoted}" if quoted else ""),
                _fill(rule.next, machine, who, rank),
                rule.retry,
            )
    return None


def of_gcloud(text: str, machine: Machine, what: str) -> Trouble:
    """What an error of gcloud tells; `what` was tried."""
    said = " ".join(text.split()) or "no message"
    last = said if len(said) <= 300 else f"...{said[-300:]}"
    again = f"{_TPU} status {machine.name}"
    return of_text("gcloud", text, machine) or Trouble("gcloud", f"{what} failed: {last}", again, RUN)


def rank_of(report: Report, machine: Machine) -> int:
    return report.slice * machine.piece.hosts + report.worker


def of_failed(reports: Iterable[Report], machine: Machine) -> Trouble:
    """The first worker that failed, with its last lines. There is one."""
    failed = sorted(
        (r for r in reports if r.failed),
        # One that was ended by a signal is a consequence more often than a cause.
        key=lambda r: (int((r.answer or {}).get("status", 0)) == 143, (r.answer or {}).get("at") or 0.0),
    )
    first = failed[0]
    answer = first.answer or {}
    who, rank = first.name(machine.slices), rank_of(first, machine)
    text = "\n".join([line for line in (str(answer.get("reason", "")), *first.tail) if line])
    found = of_text(str(answer.get("phase", "run")), text, machine, who, rank)
    if found is not None:
        return found
    status = answer.get("status")
    last = f": {first.tail[-1][:300]}" if first.tail else ""
    how = f"ended by signal {status - 128}" if isinstance(status, int) and status > 128 else f"exit status {status}"
    return Trouble("failed", f"{who} failed first ({how}){last}", f"{_TPU} logs {machine.name} --worker={rank}", RUN)


def no_project() -> Trouble:
    rule = next(rule for rule in _RULES if rule.key == "no_project")
    return Trouble(rule.key, rule.sentence, rule.next)


def preempted(machine: Machine) -> Trouble:
    return Trouble(
        "preempted", f"{machine.name} was taken away by Cloud TPU (preempted, or maintenance)",
        f"{_TPU} run {machine.name} --keep_alive --yes makes it again and goes on from the checkpoint", MACHINE,
    )  # fmt: skip


def missing(reports: Iterable[Report], machine: Machine) -> Trouble:
    """Workers that did not answer; there is one."""
    reports = list(reports)
    silent = [r.name(machine.slices) for r in reports if r.state == "missing"]
    some = ", ".join(silent[:4]) + (f" and {len(silent) - 4} more" if len(silent) > 4 else "")
    if len(silent) == len(reports):
        sentence = f"none of the {len(reports)} workers of {machine.name} can be reached by SSH"
    else:
        sentence = f"{some} of {len(reports)} cannot be reached"
    return Trouble(
        "missing", sentence, f"{_TPU} run {machine.name} --keep_alive --yes makes the machine again", MACHINE
    )


def hung(machine: Machine, seconds: float, stacks: str = "") -> Trouble:
    where = f"; the stacks of every rank are in {stacks}" if stacks else ""
    return Trouble(
        "hung", f"hung: no step for {seconds / 60:.0f} minutes{where}",
        f"{_TPU} stop {machine.name} --yes, then run goes on from the checkpoint", RUN,
    )  # fmt: skip
