"""The verbs of the launcher. Each may be repeated: it does only what is not done yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from launch.cloud import command, names, plan, ship, status, trouble, workers
from launch.cloud import machine as machines
from launch.cloud.asked import TPU, Asked, no_zone, open_hours, preview, record_of, show, tell_cost, tell_warning
from launch.cloud.gcloud import Cloud
from launch.cloud.machine import DEAD, WAITING
from launch.cloud.plan import Machine
from launch.cloud.state import Folder, Record
from launch.cloud.trouble import Stopped, Trouble
from launch.cloud.watch import Watch
from w2v_jax.errors import UserError


def up(cloud: Cloud, folder: Folder, name: str, asked: Asked) -> Trouble | None:
    """Asks for a machine and waits until it is ACTIVE. None when it is; otherwise why not.

    Ctrl-C withdraws the request while it waits.
    """
    record = record_of(cloud, folder, name, asked)
    if not asked.yes:
        preview(cloud, folder, record, asked, run=False)
        return None
    tell_cost(cloud, record, asked)
    with folder.alone(name, "watch"):
        open_hours(cloud, folder, record, asked)
        watch = Watch(cloud, folder, record, asked.patience, asked.limits, asked.adopt)
        try:
            watch.bring_up()
            watch.reach()
        except KeyboardInterrupt:
            _tell_left(cloud, record, "")
            raise
        except Stopped as e:
            _tell_later(folder, record, e.trouble)
            _tell_bill(cloud, record, e.trouble)
            return e.trouble
    cloud.tell(f"{name} is ACTIVE; next: {TPU} run {name} --yes -- COMMAND")
    return None


def run(cloud: Cloud, folder: Folder, name: str, asked: Asked) -> Trouble | None:
    """Brings the machine up and runs the command on every worker until it ends. None when it ended well."""
    configs = command.check_config(asked.argv, asked.root) if asked.argv else []
    record = record_of(cloud, folder, name, asked)
    argv = list(asked.argv) or record.argv
    if not argv:
        raise UserError(
            f"no command: {TPU} run {name} --yes -- python -m experiments.train --config=... --workdir=gs://..."
        )
    buckets = names.buckets(argv)
    if record.argv and argv != record.argv and record.run_id and not record.outcome and not record.withdrawn:
        raise UserError(f"{name} has a run with another command that has not ended; {TPU} stop {name} --yes first")
    if argv != record.argv or record.outcome:
        record.tries, record.progress, record.run_id = 0, -1, ""
    record.argv, record.outcome, record.done = argv, "", False
    _check(cloud, record.machine, configs, asked)
    if not asked.yes:
        preview(cloud, folder, record, asked, run=True)
        return None
    with folder.alone(name, "watch"):
        source = ship.source(folder.room(name) / "bundle", asked.root)
        tell_cost(cloud, record, asked)
        tell_warning(cloud, record, asked)
        for bucket in buckets:
            if (found := command.no_bucket(cloud, bucket, record.machine)) is not None:
                return found
        open_hours(cloud, folder, record, asked)
        watch = Watch(cloud, folder, record, asked.patience, asked.limits, asked.adopt)
        try:
            found = watch.run(source)
        except KeyboardInterrupt:
            _tell_left(cloud, record, f"{TPU} attach {name} follows it, ")
            raise
        _note(folder, record, found)
        if asked.down and not record.withdrawn and not _foreign(found):
            try:
                machines.remove(cloud, record.machine, asked.patience)
            except Stopped as e:
                return e.trouble
            cloud.tell(f"{name} is deleted")
        else:
            _tell_bill(cloud, record, found)
    return found


def _foreign(found: Trouble | None) -> bool:
    return found is not None and found.key == "foreign"


def _tell_left(cloud: Cloud, record: Record, follow: str) -> None:
    """Prints what Ctrl-C leaves, unless the request was withdrawn or never made. `follow`: how the run is followed,
    where it may be running."""
    name = record.machine.name
    if record.withdrawn or not record.asked:
        return
    going = bool(follow and record.run_id)
    what = "the run goes on without this command, and the machine" if going else "a machine that is there"
    cloud.tell(
        f"{name}: {what} costs money until its --max_hours are over; {follow if going else ''}"
        f"{TPU} down {name} --yes ends it"
    )


def _check(cloud: Cloud, machine: Machine, configs: Sequence[Any], asked: Asked) -> None:
    """Prints what is shipped and nobody committed, and what the machine will not have. UserError: the command would
    fail, or too much is shipped."""
    command.check_mesh(asked.argv, configs, machine.slices * machine.piece.chips, machine.workers)
    command.check_flags(asked.argv, asked.root)
    ship.check(asked.root)
    for said in (*ship.untracked(asked.root, asked.untracked_mib), *command.sources(configs, asked.root)):
        cloud.tell(said)


def _tell_bill(cloud: Cloud, record: Record, found: Trouble | None) -> None:
    """Prints that the machine of a command that has ended costs money, unless it is gone, or another's."""
    name, still = record.machine.name, "still costs"
    if record.withdrawn or not record.asked or _foreign(found):
        return
    if found is not None:
        try:
            state = machines.look(cloud, record.machine, attempts=1).state
        except Stopped:
            still = "may still cost"
        else:
            if state in (machines.ABSENT, "SUSPENDING", "DELETING", *DEAD, *WAITING):
                return
            if state == "ACTIVE" and found.key == "preempted":
                still = "may still cost"
    cloud.tell(f"{name} {still} money; {TPU} down {name} --yes deletes it")


def _tell_later(folder: Folder, record: Record, found: Trouble | None) -> None:
    """Keeps what is wrong for `status`, which finds no trace of a request that was refused."""
    record.trouble = [] if found is None else [found.key, found.sentence, found.next]
    if _foreign(found) and not record.asked:
        folder.forget(record.machine.name)  # nothing is known but that it is another's
        return
    latest = folder.load(record.machine.name)
    if latest is not None:
        record.withdrawn = record.withdrawn or latest.withdrawn
        folder.save(record)


def _note(folder: Folder, record: Record, found: Trouble | None) -> None:
    """Keeps how the run ended."""
    record.done, record.outcome = found is None, "it ended well" if found is None else found.sentence
    _tell_later(folder, record, found)


def attach(cloud: Cloud, folder: Folder, name: str, asked: Asked) -> Trouble | None:
    """Follows a run that goes on, until it ends. It makes nothing again: `run` does."""
    record = folder.known(name)
    if not record.run_id:
        raise UserError(f"{name} has no run: {TPU} run {name} --yes -- COMMAND")
    watch = Watch(cloud, folder, record, asked.patience, asked.limits)
    try:
        found = watch.follow()
    except Stopped as e:
        found = e.trouble
    found = watch.truly(found)
    if not watch.withdrawn():
        _note(folder, record, found)
    return found


def state(cloud: Cloud, folder: Folder, name: str, asked: Asked) -> Trouble:
    """What is the matter, in one sentence, and the next command."""
    return status.of(cloud, folder.known(name), asked.patience)


def logs(cloud: Cloud, folder: Folder, name: str, asked: Asked) -> Trouble | None:
    """Prints the last lines of one worker, or of each with --worker=-1."""
    record = folder.known(name)
    reports, done = workers.ask(cloud, record.machine, "poll", f"lines={asked.lines}", seconds=60)
    if asked.worker >= len(reports):
        raise UserError(f"--worker={asked.worker}: {name} has workers 0 to {len(reports) - 1}; -1 means all")
    shown = reports if asked.worker < 0 else [reports[asked.worker]]
    for report in shown:
        who = report.name(record.machine.slices)
        how = report.state if not report.failed else f"failed, exit status {(report.answer or {}).get('status')}"
        cloud.tell(f"==== {who} ({how})")
        for line in report.tail:
            cloud.tell(line)
    if all(r.answer is None for r in shown):
        return status.of(cloud, record, asked.patience)
    return None


def stop(cloud: Cloud, folder: Folder, name: str, asked: Asked) -> Trouble | None:
    """Ends the run on every worker with a checkpoint. The machine stays, and costs money."""
    record = folder.known(name)
    machine = record.machine
    if not asked.yes:
        lines = [plan.remote(machine, n, plan.agent("stop"), str(folder.room(name) / "ssh" / n)) for n in machine.nodes]
        show(cloud, [plan.describe(machine)], "is it the one that was asked for?")
        show(cloud, lines, "SIGTERM to the run on every worker: it saves and ends")
        cloud.tell("# nothing was run; --yes runs these lines")
        return None
    if (why := _of_others(cloud, record)) is not None:
        return why
    reports, _ = workers.ask(cloud, machine, "stop", seconds=300)
    for report in reports:
        cloud.tell(f"[{report.name(machine.slices)}] {report.state}")
    if any(r.state == "missing" for r in reports):
        return machines.gone(cloud, machine) or trouble.missing(reports, machine)
    if record.run_id and not record.outcome and all(r.state in ("ended", "none", "lost") for r in reports):
        record.done = all(r.state == "ended" and not r.failed for r in reports)
        record.outcome = "it ended well" if record.done else "it was stopped"
        _tell_later(folder, record, None)
    cloud.tell(f"{name} still costs money; {TPU} down {name} --yes deletes it")
    return None


def down(cloud: Cloud, folder: Folder, name: str, asked: Asked) -> Trouble | None:
    """Deletes the machine and waits until it is gone. A `run` of another terminal then ends."""
    record = folder.load(name)
    known = record is not None
    if record is None:
        given = {"zone": "", "accelerator": "v5litepod-1", **asked.machine}
        if not given["zone"]:
            raise UserError(
                f"no machine {name!r} in {folder.path}; to delete one that another folder made, give --zone="
            )
        record = Record(Machine(name=name, **given))
    places = {k: v for k, v in asked.machine.items() if k in ("zone", "project") and v != getattr(record.machine, k)}
    if places:  # another machine than that of the record, which stays
        return _down_elsewhere(cloud, dataclasses.replace(record.machine, **places, owner=""), asked)
    if not asked.yes:
        show(cloud, [plan.describe(record.machine), plan.delete(record.machine)], "deletes it, and its disks")
        cloud.tell("# nothing was run; --yes runs these lines")
        return None
    machine = record.machine
    if known and (why := _of_others(cloud, record)) is not None:
        folder.forget(name)  # its own is gone
        where = f"--zone={machine.zone}" + (f" --project={machine.project}" if machine.project else "")
        return why._replace(
            sentence=f"{why.sentence}: it stays, and {name} is forgotten here",
            next=f"{TPU} down {name} {where} --yes deletes it all the same",
        )
    with folder.alone(name, "request", wait=True):
        record.withdrawn = True
        folder.save(record)
    try:
        machines.remove(cloud, machine, asked.patience)
        said = f"{name} is gone" + ("" if machine.project else ", from the project that is gcloud's default now")
    except Stopped as e:
        if not no_zone(record, e):
            return _lost(record, e.trouble) if e.trouble.key == "bad_zone" else e.trouble
        said = f"{name} is forgotten; nothing can be there: {e.trouble.sentence}"
    with folder.alone(name, "request", wait=True):
        folder.forget(name)
    cloud.tell(said)
    return None


def _of_others(cloud: Cloud, record: Record) -> Trouble | None:
    """Whether the machine that is there is not that of the record, as far as gcloud tells."""
    try:
        return machines.foreign(record.machine, machines.look(cloud, record.machine), bool(record.asked))
    except Stopped:
        return None


def _lost(record: Record, found: Trouble) -> Trouble:
    """A machine that was asked for, in a zone that is not seen any more."""
    name = record.machine.name
    return found._replace(
        sentence=f"{found.sentence}; {name} was asked for there and may cost money, so that its record stays",
        next=f"gcloud auth list says who you are; with the account that made it: {TPU} down {name} --yes",
    )


def _down_elsewhere(cloud: Cloud, machine: Machine, asked: Asked) -> Trouble | None:
    """Deletes a machine that no record is about."""
    where = machine.zone + (f" of {machine.project}" if machine.project else "")
    if not asked.yes:
        show(cloud, [plan.describe(machine), plan.delete(machine)], f"deletes the one in {where}; the record stays")
        cloud.tell("# nothing was run; --yes runs these lines")
        return None
    try:
        machines.remove(cloud, machine, asked.patience)
    except Stopped as e:
        return e.trouble
    cloud.tell(f"{machine.name} in {where} is gone; the record of the machine of that name elsewhere stays")
    return None
