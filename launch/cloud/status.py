"""One sentence about a machine and its run, and the next command, in at most 10 seconds."""

from __future__ import annotations

from collections.abc import Sequence

from launch.cloud import machine as machines
from launch.cloud import plan, trouble, workers
from launch.cloud.gcloud import Cloud
from launch.cloud.machine import ABSENT, DEAD, WAITING, Patience
from launch.cloud.state import Record
from launch.cloud.trouble import Stopped, Trouble
from launch.cloud.workers import Report
from w2v_jax.tables import duration

_ASK_S, _SSH_S = 4.0, 5.0  # of the ten seconds
_TPU = "python -m launch.tpu"


def of(cloud: Cloud, record: Record, patience: Patience) -> Trouble:
    """What is the matter; `key` is "ok" where nothing is."""
    machine, name = record.machine, record.machine.name
    try:
        found = machines.look(cloud, machine, _ASK_S, attempts=1)
    except Stopped as e:
        return e.trouble
    if found.state == ABSENT:
        return _absent(record, cloud.clock.now())
    if found.state in WAITING or found.state == "PROVISIONING":
        waited = duration(max(0.0, cloud.clock.now() - record.asked)) if record.asked else "some time"
        what = "waits in the queue" if found.state in WAITING else "is being provisioned"
        return Trouble("ok", f"{name} {what} ({found.state}) since {waited}", f"{_TPU} up {name} --yes waits for it")
    if found.state == "FAILED":
        return trouble.of_gcloud(found.error, machine, f"the request for {name}")
    if found.state in ("SUSPENDING", *DEAD):
        return trouble.preempted(machine)
    if found.state == "DELETING":
        return Trouble("ok", f"{name} is being deleted", f"{_TPU} down {name} --yes waits until it is gone")
    reports, _ = workers.ask(cloud, machine, "poll", "lines=40", seconds=_SSH_S, attempts=1)
    if any(r.state == "missing" for r in reports):
        states = machines.nodes(cloud, machine, seconds=_ASK_S / 2) if machine.slices <= 2 else {}
        if any(s in ("PREEMPTED", "TERMINATED", ABSENT) for s in states.values()):
            return trouble.preempted(machine)
        failed = [r for r in reports if r.failed]
        return _costs(trouble.of_failed(failed, machine), name) if failed else trouble.missing(reports, machine)
    told = of_run(record, reports, patience)
    if {r.state for r in reports} == {"none"}:
        left = record.hours_left(cloud.clock.now())
        end = f" ({left:.1f} hours left)" if left > 0 else ""
        return told._replace(next=f"{told.next}; {name} costs money{end}, {_TPU} down {name} --yes deletes it")
    return _costs(told, name) if any(r.failed or r.state == "lost" for r in reports) else told


def _costs(found: Trouble, name: str) -> Trouble:
    """The same, and that the machine of the run that failed is still there."""
    return found._replace(next=f"{found.next}; {name} still costs money, {_TPU} down {name} --yes deletes it")


def _absent(record: Record, now: float) -> Trouble:
    name = record.machine.name
    if record.done:
        return Trouble(
            "ok", f"{name}: the run ended well, and the machine is deleted", f"{_TPU} down {name} --yes forgets it"
        )
    if record.trouble:
        return Trouble(*record.trouble)
    if record.asked and not record.withdrawn:
        if not record.queued and now > record.until:
            return Trouble(
                "max_hours", f"{name} is gone: its paid hours are over", f"{_TPU} run {name} --yes has new ones"
            )
        return Trouble(
            "preempted", f"{name} is gone, and no command of the launcher deleted it", f"{_TPU} run {name} --yes"
        )
    return Trouble("ok", f"{name} is not there", f"{_TPU} up {name} --yes")


def of_run(record: Record, reports: Sequence[Report], patience: Patience) -> Trouble:
    """What the workers tell, who all answered."""
    machine, name = record.machine, record.machine.name
    states = {r.state for r in reports}
    workers_ = plan.count(len(reports), "worker")
    if any(r.failed for r in reports):
        return trouble.of_failed(reports, machine)
    if "lost" in states:
        who = next(r for r in reports if r.state == "lost").name(machine.slices)
        return Trouble(
            "lost", f"{who} was restarted, or its supervisor killed: the run is gone there", f"{_TPU} run {name} --yes"
        )
    if states == {"none"}:
        return Trouble("ok", f"{name} is ready, {workers_}, and runs nothing", f"{_TPU} run {name} --yes -- COMMAND")
    if states == {"ended"}:
        return Trouble("ok", f"{name}: the run ended well on {workers_}", f"{_TPU} down {name} --yes stops the bill")
    steps = [r.answer["step"] for r in reports if r.answer and r.answer.get("step") is not None]
    if "installing" in states:
        return Trouble("ok", f"{name} installs on {workers_}", f"{_TPU} logs {name}")
    quiet = min(float((r.answer or {}).get("quiet", 0.0)) for r in reports)
    if quiet > (patience.hung_s if steps else patience.startup_s):
        return trouble.hung(machine, quiet)
    where = f", step {max(steps):,}" if steps else ", no step yet"
    return Trouble("ok", f"{name} runs on {workers_}{where}", f"{_TPU} logs {name}; {_TPU} attach {name} follows it")
