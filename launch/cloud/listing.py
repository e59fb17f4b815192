"""`list`: the machines of the records, and what Cloud TPU has in their zones."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from launch.cloud import machine as machines
from launch.cloud import plan, prices, trouble
from launch.cloud.accelerators import slice_of
from launch.cloud.gcloud import Cloud
from launch.cloud.machine import ABSENT, DEAD, WAITING, Look
from launch.cloud.plan import Machine
from launch.cloud.state import Folder, Record
from launch.cloud.trouble import Trouble
from w2v_jax.errors import UserError


class _Place(NamedTuple):
    zone: str
    project: str

    def __str__(self) -> str:
        return self.zone + (f" of {self.project}" if self.project else "")


_Answer = dict[str, Look] | Trouble


def of(cloud: Cloud, folder: Folder, zone: str, project: str, table: str = "") -> Trouble | None:
    """Prints a line for each machine; what could not be looked up, and why, otherwise None. `table`: the user's own
    table of chips. UserError: --project without --zone."""
    if project and not zone:
        raise UserError(f"--project={project}: list takes it with --zone=ZONE; the records have projects of their own")
    records, damaged = _records(folder)
    default = _default(cloud, [*(r.machine.project for r in records.values()), *([project] if zone else [])])
    own = {(_Place(r.machine.zone, r.machine.project or default), name): r for name, r in records.items()}
    given = {_Place(zone, project or default)} if zone else set()
    for name, why in damaged.items():
        cloud.tell(f"{name}  unknown  {why}")
    wrong = Trouble("damaged", f"damaged records: {', '.join(damaged)}", "delete their files") if damaged else None
    answers: dict[_Place, _Answer] = {}
    for place in sorted({place for place, _ in own} | given):
        found = _ask(cloud, place)
        asked = place in given or any(r.asked for (there, _), r in own.items() if there == place)
        if isinstance(found, Trouble) and found.key == "bad_zone" and not asked:
            found = {}  # a mistyped zone: nothing was asked for there
        answers[place] = found
        wrong = found if isinstance(found, Trouble) else wrong
    if not answers:
        cloud.tell(f"no machines in {folder.path}; --zone=ZONE lists what Cloud TPU has there")
        return wrong
    there = {(place, name) for place, some in answers.items() if not isinstance(some, Trouble) for name in some}
    several = len({place.project for place in answers}) > 1
    for place, name in sorted({*there, *own}, key=lambda key: (key[1], key[0])):
        where = str(place) if several else place.zone
        cloud.tell(f"{name}  {_line(cloud, own.get((place, name)), answers[place], name, where, table)}")
    cloud.tell(f"# asked: {', '.join(map(str, answers))}; --zone=ZONE asks in another zone")
    return wrong


def _records(folder: Folder) -> tuple[dict[str, Record], dict[str, str]]:
    """(name -> record, name -> why it cannot be read)."""
    records, damaged = {}, {}
    for name in folder.names():
        try:
            records[name] = folder.known(name)
        except UserError as e:
            damaged[name] = str(e)
    return records, damaged


def _default(cloud: Cloud, projects: Sequence[str]) -> str:
    """gcloud's default project, where one is not named; empty where there is none."""
    if all(projects):
        return ""
    done = cloud(plan.default_project(), 60)
    return "" if done.status else done.out.strip()


def _ask(cloud: Cloud, place: _Place) -> _Answer:
    """The requests of a place by name, or why they cannot be told."""
    done = cloud(plan.list_requests(*place), 60)
    if done.status:
        stand_in = Machine(name="list", zone=place.zone, accelerator="v5litepod-1", project=place.project)
        return trouble.of_gcloud(done.err, stand_in, f"listing {place.zone}")
    try:
        return {str(r["name"]).rpartition("/")[2]: machines.told(r) for r in json.loads(done.out or "[]")}
    except (ValueError, KeyError, TypeError, AttributeError):
        said = " ".join(done.out.split())[:200]
        return Trouble("gcloud", f"gcloud lists {place.zone} in an unknown form: {said}", "gcloud components update")


def _line(cloud: Cloud, record: Record | None, answer: _Answer, name: str, where: str, table: str) -> str:
    """State, place, price and run of one machine."""
    found = None if isinstance(answer, Trouble) else answer.get(name, Look(ABSENT))
    run = "" if record is None else " ".join(record.argv) or "no run"
    if found is None:
        return f"unknown  {where}  {run}"
    bill = _bill(found, where.partition(" ")[0], table)
    if record is None or machines.foreign(record.machine, found, bool(record.asked)) is not None:
        return f"{found.state}  {where}{bill}  asked for by another folder or person"
    left = record.hours_left(cloud.clock.now())
    end = f", {left:.1f} hours left" if bill and left > 0 else ""
    return f"{found.state}  {where}{bill}{end}  {run}"


def _bill(found: Look, zone: str, table: str) -> str:
    """What it costs an hour; empty where it costs nothing, or its price is not known."""
    if found.state in (ABSENT, *WAITING, *DEAD) or not found.accelerator:
        return ""
    try:
        piece = slice_of(found.accelerator)
        price = prices.per_chip(piece.generation, found.spot, zone, table)
    except UserError:  # of a kind that the launcher does not know
        return ""
    if math.isnan(price.usd):
        return ""
    of = "" if price.certain else f" (in {price.place})"
    return f"  ${price.usd * piece.chips * found.slices:,.2f} an hour{of}"
