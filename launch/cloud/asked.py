"""What the command line asks for, the record of the machine that it is about, and the lines that would be run."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from launch.cloud import command, names, plan, prices, ship
from launch.cloud import machine as machines
from launch.cloud.gcloud import Cloud
from launch.cloud.holder import startup_file
from launch.cloud.machine import ABSENT, Patience
from launch.cloud.plan import Line, Machine
from launch.cloud.state import Folder, Record
from launch.cloud.trouble import Stopped
from launch.cloud.watch import Limits
from w2v_jax.errors import UserError

TPU = "python -m launch.tpu"
_FLEX_HOURS = 167.0  # Cloud TPU gives flex-start machines for seven days at most


class Asked(NamedTuple):
    """What the command line asks for, beside the verb and the name."""

    machine: dict[str, Any] = {}  # noqa: RUF012  (of a NamedTuple: never changed); the flags that were given
    argv: Sequence[str] = ()
    yes: bool = False
    max_hours: float | None = None
    limits: Limits = Limits()
    patience: Patience = Patience()
    down: bool = False  # deletes the machine when the run has ended, however it did
    prices: str = ""
    root: Any = ship.ROOT  # the checkout that is shipped
    worker: int = 0
    lines: int = 40
    adopt: bool = False  # uses a machine that another folder asked for
    untracked_mib: float = 20.0  # of files that git does not know: more is not shipped


def record_of(cloud: Cloud, folder: Folder, name: str, asked: Asked) -> Record:
    """The record of a machine with the flags that were given. UserError: they contradict a machine that is there, or
    may be."""
    names.check_name(name)
    record = folder.load(name)
    if record is None:
        given = {"zone": "", "accelerator": "", **asked.machine}
        record = Record(Machine(name=name, **given, owner=secrets.token_hex(4)))
    changed = {k: v for k, v in asked.machine.items() if getattr(record.machine, k) != v}
    if changed and record.asked:
        if not _may_change(cloud, record, asked):
            key, value = next(iter(changed.items()))
            raise UserError(
                f"--{key}={value}: {name} was asked for with {key}={getattr(record.machine, key)}; "
                f"{TPU} down {name} --yes first, or take another name"
            )
        record.asked, record.until, record.queued, record.run_id = 0.0, 0.0, 0.0, ""  # of the machine that is gone
        record.adopted = False
    record.machine = dataclasses.replace(record.machine, **changed)
    if asked.max_hours is not None:
        record.max_hours = asked.max_hours
    if record.machine.flex_start and record.max_hours > _FLEX_HOURS:
        raise UserError(f"--max_hours={record.max_hours:g}: with --flex_start at most {_FLEX_HOURS:g}")
    return record


def _may_change(cloud: Cloud, record: Record, asked: Asked) -> bool:
    """Whether the machine of the record is known to be absent. Without --yes nothing is asked: where its run has ended,
    or it was taken down, the line that would ask is printed."""
    if not asked.yes:
        if record.outcome or record.withdrawn:
            show(cloud, [plan.describe(record.machine)], "refused, unless this says that the earlier one is not there")
            return True
        return False
    try:
        return machines.look(cloud, record.machine).state == ABSENT
    except Stopped:
        return False


def no_zone(record: Record, stopped: Stopped) -> bool:
    """Whether nothing can be there, as the zone does not exist. Where a machine was asked for it does: then the account
    or the project is another one."""
    return stopped.trouble.key == "bad_zone" and not record.asked


def _end(cloud: Cloud, record: Record, asked: Asked) -> float:
    """When the paid hours are over: those that are running end when the machine, as it was made, deletes itself. Those
    of a request that waits begin when it is served: the earliest end. One that was adopted takes new hours at
    any time."""
    now = cloud.clock.now()
    wanted, made = now + record.max_hours * 3600, now + record.queued if record.queued else record.until
    if record.withdrawn or not record.asked or now > made or (record.adopted and asked.max_hours is not None):
        return wanted
    return made if asked.max_hours is None else min(made, wanted)


def tell_cost(cloud: Cloud, record: Record, asked: Asked) -> None:
    """Prints what the paid hours cost at most, and where they are fewer than were asked for."""
    machine, hours = record.machine, record.max_hours
    left = (_end(cloud, record, asked) - cloud.clock.now()) / 3600
    if asked.max_hours is not None and left < hours - 0.005:
        name, hours = machine.name, round(left, 2)
        cloud.tell(
            f"{name} ends itself in {hours:g} hours, as it was made; "
            f"{TPU} down {name} --yes and then up --yes give more"
        )
    what = (machine.accelerator, machine.slices, machine.spot, hours, machine.zone)
    adopted = asked.adopt or (record.adopted and not record.withdrawn)
    cloud.tell(prices.sentence(*what, asked.prices, plan.LATER_S, ends=not adopted))
    if adopted:
        cloud.tell(
            f"warning: a machine that is adopted deletes itself when the folder that made it said, which is not known "
            f"here: it may cost more, until {TPU} down {machine.name} --yes"
        )
    if not machine.service_account:
        cloud.tell(
            "warning: without --service-account the machine is the default account of Compute Engine, which may lack "
            "the right to delete it at the end of the paid hours, or to use your bucket: docs/tpu.md, Service account"
        )


def tell_warning(cloud: Cloud, record: Record, asked: Asked) -> None:
    """Prints that the folder of the run will be lost, where it will."""
    ends = asked.down or asked.limits.keep_alive
    if said := command.warning(record.argv, record.machine, ends):
        cloud.tell(said)


def show(cloud: Cloud, lines: Sequence[Line], why: str) -> None:
    """Prints lines that are not run, and what they are for."""
    cloud.tell(f"# {why}")
    for line in lines:
        cloud.show(line, again=True)


def open_hours(cloud: Cloud, folder: Folder, record: Record, asked: Asked) -> None:
    """The paid hours: those that are running, or new ones; a request that is made for them has them begin later."""
    record.until = _end(cloud, record, asked)
    record.queued = record.until - cloud.clock.now() if record.queued and not record.withdrawn else 0.0
    record.withdrawn, record.trouble = False, []
    folder.save(record)


def preview(cloud: Cloud, folder: Folder, record: Record, asked: Asked, run: bool) -> None:
    """Prints every line that would be run."""
    machine = record.machine
    tell_cost(cloud, record, asked)
    if run:
        tell_warning(cloud, record, asked)
    room = folder.room(machine.name)
    if run and (found := names.buckets(record.argv)):
        show(cloud, [plan.bucket(b) for b in found], "the buckets of the command are there")
    if not machine.project:
        show(cloud, [plan.default_project()], "the project of all lines below: each gets it as --project")
    show(cloud, [plan.describe(machine)], "is it there? FAILED and SUSPENDED hold quota, and are deleted first")
    show(cloud, [plan.delete(machine)], "only then")
    script, seconds = str(startup_file(folder, machine.name)), record.max_hours * 3600 + plan.LATER_S
    show(
        cloud,
        [plan.create(machine, script, seconds, asked.patience.waiting_s)],
        f"asks for it, with a label drawn for this name; then its state is read every {asked.patience.poll_s:g} s",
    )
    nodes = machine.nodes
    show(cloud, [plan.describe_node(machine, n) for n in nodes], "its slices")
    if run:
        files = [str(room / "bundle" / f) for f in (plan.AGENT, plan.SOURCE, plan.SPEC)]
        show(cloud, [plan.copy(machine, n, files) for n in nodes], "copies this commit with what is not committed")
        for verb, why in (
            (("start",), "installs, unless the lock file is the one installed, and starts the run"),
            (("poll", "lines=40"), "what the run does, on every worker, until it has ended"),
            (("dump", "lines=400"), "only when it hangs: the stacks of every rank"),
            (("stop",), "only when it hangs or a worker fails"),
        ):
            line = plan.agent(*verb)
            show(cloud, [plan.remote(machine, n, line, str(room / "ssh" / n)) for n in nodes], why)
    if run and asked.down:
        show(cloud, [plan.delete(machine)], "at the end; nothing is left")
    else:
        cloud.tell(f"# it costs money until: {TPU} down {machine.name} --yes")
    cloud.tell("# nothing was run; --yes runs these lines")
