"""Holds the machine of a record: asks for it, adopts one, and counts its paid hours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from launch.cloud import machine as machines
from launch.cloud import plan
from launch.cloud.gcloud import Cloud
from launch.cloud.machine import ABSENT, Look, Patience
from launch.cloud.plan import Machine
from launch.cloud.request import Withdrawn, ensure
from launch.cloud.state import Folder, Record
from launch.cloud.trouble import NO, Stopped, Trouble
from w2v_jax.files import write_text


class Holder:
    """One machine, as the command `up` sees it."""

    def __init__(self, cloud: Cloud, folder: Folder, record: Record, patience: Patience, adopt: bool = False) -> None:
        self.cloud, self.folder, self.record = cloud, folder, record
        self.patience, self.adopt = patience, adopt

    def seconds_left(self) -> float:
        """Of the paid hours, which do not run while a request waits."""
        return self.record.queued or self.record.until - self.cloud.clock.now()

    def save(self) -> None:
        latest = self.folder.load(self.record.machine.name)
        if latest is not None:
            self.record.withdrawn = self.record.withdrawn or latest.withdrawn
        self.folder.save(self.record)

    def _may_create(self) -> tuple[str, float]:
        """Notes that a machine is asked for, and writes the script of its workers; returns its file, and after how many
        seconds it ends the machine. Stopped: another command has withdrawn it, or the paid hours are over."""
        name = self.record.machine.name
        with self.folder.alone(name, "request", wait=True):
            latest = self.folder.load(name)
            if latest is None or latest.withdrawn:
                self.record.withdrawn = True
                raise Stopped(
                    Trouble("withdrawn", f"{name} was taken down by another command", "nothing is left to do")
                )
            if self.seconds_left() <= 0:
                raise Stopped(over(self.record))
            self.record.asked, self.record.queued = self.cloud.clock.now(), self.seconds_left()
            self.record.adopted = False
            self.folder.save(self.record)
            script, seconds = startup_file(self.folder, name), self.record.queued + plan.LATER_S
            write_text(script, plan.startup(self.record.machine, seconds))
            return str(script), seconds

    def _admit(self, found: Look) -> Machine:
        """The machine of the record. One that is adopted is its own from now on, so that it can be deleted too.
        Stopped: what is there is another's."""
        record = self.record
        if (why := machines.foreign(record.machine, found, bool(record.asked), self.adopt)) is not None:
            raise Stopped(why)
        owner = found.owner or record.machine.owner
        if found.state not in (ABSENT, "DELETING") and (not record.asked or owner != record.machine.owner):
            record.machine = dataclasses.replace(record.machine, owner=owner)
            record.asked, record.adopted = self.cloud.clock.now(), True
            if self.folder.load(record.machine.name) is not None:  # not taken down meanwhile
                self.save()
        return record.machine

    def _keep_project(self) -> None:
        """Writes gcloud's default project into the record: it may be another one tomorrow. Stopped: there is none."""
        if not self.record.machine.project:
            self.record.machine = machines.placed(self.cloud, self.record.machine)
            if self.folder.load(self.record.machine.name) is not None:  # not taken down meanwhile
                self.save()

    def bring_up(self) -> None:
        """Waits until the machine is ACTIVE. Stopped: it cannot be had, or is not that of the record. Withdrawn: the
        request is deleted."""
        self._keep_project()
        try:
            ensure(self.cloud, self.record.machine, self.patience, self._may_create, self._admit)
        except Withdrawn:
            self.record.withdrawn = True
            self.folder.save(self.record)
            raise
        self._begin_hours()

    def _begin_hours(self) -> None:
        """The machine is ACTIVE: the hours of its request run from now, unless it was made long before. They are over
        before it deletes itself, which it counts from its first start."""
        if self.record.queued:
            now, made = self.cloud.clock.now(), machines.made(self.cloud, self.record.machine)
            began = min(now, made + plan.LATER_S / 2) if made else now
            self.record.until, self.record.queued = began + self.record.queued, 0.0
            self.save()


def over(record: Record) -> Trouble:
    """The paid hours are used up."""
    name = record.machine.name
    return Trouble(
        "max_hours", "the paid hours of --max_hours are over; the run was stopped with a checkpoint",
        f"python -m launch.tpu run {name} --yes --max_hours=... goes on", NO,
    )  # fmt: skip


def startup_file(folder: Folder, name: str) -> Path:
    return folder.room(name) / "startup.sh"
