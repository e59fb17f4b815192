"""A machine by the states of its request: what gcloud says of it, and how it is deleted.

(absent) -> CREATING, ACCEPTED, WAITING_FOR_RESOURCES -> PROVISIONING -> ACTIVE
FAILED, SUSPENDING -> SUSPENDED: it holds quota until it is deleted;  DELETING -> (absent)
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any, NamedTuple

from launch.cloud import names, plan, trouble
from launch.cloud.gcloud import Cloud
from launch.cloud.plan import Machine
from launch.cloud.trouble import MACHINE, Stopped, Trouble

ABSENT = "absent"
WAITING = ("CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES")
DEAD = ("FAILED", "SUSPENDED")


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long each phase may take, in seconds."""

    waiting_s: float = 24 * 3600.0  # in the queue
    provisioning_s: float = 1800.0
    suspending_s: float = 1800.0
    deleting_s: float = 1200.0
    reach_s: float = 600.0  # until every worker answers
    install_s: float = 1800.0
    hung_s: float = 1800.0  # without a step, while it trains
    startup_s: float = 5400.0  # until the first step: data and compilation
    poll_s: float = 20.0

    def of(self, state: str) -> float:
        named = {
            "PROVISIONING": self.provisioning_s,
            "SUSPENDING": self.suspending_s,
            "DELETING": self.deleting_s,
            "SUSPENDED": self.deleting_s,
            "FAILED": self.deleting_s,
        }
        return named.get(state, self.waiting_s)


class Look(NamedTuple):
    """The request as Cloud TPU describes it."""

    state: str
    error: str = ""  # of a FAILED one
    by_user: bool = False  # a SUSPENDED one was suspended by a person
    accelerator: str = ""  # of one slice; empty where it is not told
    slices: int = 1
    spot: bool = False
    owner: str = ""  # the label of the launcher


def told(request: dict[str, Any]) -> Look:
    """A request as gcloud describes or lists it. KeyError, TypeError, AttributeError: an unknown form."""
    state = request["state"]
    error = state.get("failedData", {}).get("error", {}).get("message", "")
    specs = request.get("tpu", {}).get("nodeSpec", [])
    several = [spec.get("multisliceParams") or spec.get("multiNodeParams") or {} for spec in specs]
    node = specs[0].get("node", {}) if specs else {}
    return Look(
        str(state["state"]), str(error), state.get("stateInitiator") == "USER", str(node.get("acceleratorType", "")),
        sum(int(some.get("nodeCount", 1)) for some in several) or 1, request.get("spot") is not None,
        str((node.get("labels") or {}).get(plan.OWNER, "")),
    )  # fmt: skip


def look(cloud: Cloud, machine: Machine, seconds: float = 60, attempts: int = 4) -> Look:
    """Asks for the state of the request. Stopped: gcloud answers neither with a state nor that there is none."""
    done = cloud(plan.describe(machine), seconds, attempts)
    if done.status:
        if "NOT_FOUND" in done.err or "was not found" in done.err:
            found = trouble.of_text("gcloud", done.err, machine)
            if found is not None and found.key == "bad_zone":
                raise Stopped(found)
            return Look(ABSENT)
        raise Stopped(trouble.of_gcloud(done.err, machine, f"asking for {machine.name}"))
    try:
        return told(json.loads(done.out))
    except (ValueError, KeyError, TypeError, AttributeError):
        said = " ".join(done.out.split())[:200]
        raise Stopped(
            Trouble("gcloud", f"gcloud describes {machine.name} in an unknown form: {said}", "gcloud components update")
        ) from None


def placed(cloud: Cloud, machine: Machine) -> Machine:
    """The machine with gcloud's default project. Stopped: there is none. UserError: it is no id of a project."""
    done = cloud(plan.default_project(), 60)
    if done.status:
        raise Stopped(trouble.of_gcloud(done.err, machine, "asking for the project"))
    if not (project := done.out.strip()):
        raise Stopped(trouble.no_project())
    return dataclasses.replace(machine, project=names.check("project", project))


def foreign(machine: Machine, found: Look, asked: bool, adopt: bool = False) -> Trouble | None:
    """Why a request that is there is not that of the record: another folder or person made it, unless it is to be
    adopted, or it is of another size. `asked`: one was asked for by this record."""
    if found.state in (ABSENT, "DELETING"):
        return None
    name = machine.name
    if not adopt and (found.owner != machine.owner if found.owner else not asked):
        return Trouble(
            "foreign", f"{name} in {machine.zone} was asked for by another folder or person ({found.state})",
            "take another name; --adopt uses that machine, and ends the run that is on it",
        )  # fmt: skip
    if found.accelerator and (found.accelerator, found.slices) != (machine.accelerator, machine.slices):
        is_, wanted = (f"{n} x {kind}" for kind, n in (found[3:5], (machine.accelerator, machine.slices)))
        return Trouble("foreign", f"{name} in {machine.zone} is {is_}, not {wanted}", "take another name, or its size")
    return None


def nodes(cloud: Cloud, machine: Machine, seconds: float = 60) -> dict[str, str]:
    """The state of every slice: READY, PREEMPTED, ...; absent where there is none, unknown where gcloud fails."""
    found = {}
    for node in machine.nodes:
        done = cloud(plan.describe_node(machine, node), seconds, attempts=2)
        if done.status:
            found[node] = ABSENT if "NOT_FOUND" in done.err or "was not found" in done.err else "unknown"
            continue
        try:
            found[node] = str(json.loads(done.out)["state"])
        except (ValueError, KeyError, TypeError):
            found[node] = "unknown"
    return found


def made(cloud: Cloud, machine: Machine) -> float:
    """When the first of its slices was made, in seconds since 1970; 0 where gcloud does not say."""
    try:
        told = [json.loads(cloud(plan.describe_node(machine, node), 60, attempts=2).out) for node in machine.nodes]
        return min(datetime.datetime.fromisoformat(found["createTime"]).timestamp() for found in told)
    except (ValueError, KeyError, TypeError):
        return 0.0


def gone(cloud: Cloud, machine: Machine) -> Trouble | None:
    """Why the machine can no longer be used; None when it is there, as far as Cloud TPU says."""
    found = look(cloud, machine)
    if found.state == "FAILED":
        return trouble.of_gcloud(found.error, machine, f"the request for {machine.name}")
    if found.state != "ACTIVE":
        return trouble.preempted(machine)
    if bad := {n: s for n, s in nodes(cloud, machine).items() if s not in ("READY", "unknown")}:
        if any(s in ("PREEMPTED", "TERMINATED", ABSENT) for s in bad.values()):
            return trouble.preempted(machine)
        node, state = next(iter(bad.items()))
        again = f"python -m launch.tpu run {machine.name} --keep_alive --yes makes it again"
        return Trouble("unhealthy", f"{node} is {state}", again, MACHINE)
    return None


def late(machine: Machine, state: str, seconds: float) -> Trouble:
    """A phase that took too long."""
    hours = f"{seconds / 3600:g} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
    name, status = machine.name, f"python -m launch.tpu status {machine.name}"
    if state in WAITING:
        return Trouble(
            "no_capacity", f"no capacity: {name} waited {hours} in the queue of {machine.zone}; the request is deleted",
            f"another --zone, a smaller --accelerator, or: python -m launch.tpu up {name} --yes --waiting_s=...",
            trouble.NO,
        )  # fmt: skip
    if state == "PROVISIONING":
        return Trouble("slow", f"{name} was not provisioned within {hours}", status, MACHINE)
    return Trouble("slow", f"{name} is still {state} after {hours}", f"{status}; if that stays, ask Google's support")


def remove(cloud: Cloud, machine: Machine, patience: Patience) -> None:
    """Deletes the request and its slices, and waits until they are gone; one with the label of another folder is not
    it. Stopped: they are not."""
    began = cloud.clock.now()
    asked = -1e9
    while True:
        state = ABSENT
        try:
            found = look(cloud, machine)
            state = found.state
            if state == ABSENT or (machine.owner and found.owner not in ("", machine.owner)):
                return
        except Stopped as e:
            if e.trouble.key not in ("gcloud",) or cloud.clock.now() - began > patience.deleting_s:
                raise
        now = cloud.clock.now()
        if state != "DELETING" and now - asked > 60:
            cloud(plan.delete(machine), 180)
            asked = now
        if now - began > patience.deleting_s:
            raise Stopped(late(machine, state, patience.deleting_s))
        cloud.clock.sleep(min(patience.poll_s, 10))
