"""What goes wrong in the fake cloud, and when.

A fault is {"kind": NAME, ...} with one of "call": N (before the N-th call of the fake gcloud), "time": T (once the
fake's clock has come so far after its start) or "step": N (once the training stand-in has come so far); without any, at
once. Each happens once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from launch.fake import world as w
from launch.fake.world import Json

INTERNAL = "Cloud TPU received an internal error while provisioning. [EID: 0x5a1b]"
NO_CAPACITY = (
    'There is no more capacity in the zone "{zone}"; you can try in another zone where Cloud TPU Nodes are offered '
    "(see https://cloud.google.com/tpu/docs/regions) [EID: 0x1bad1dea]"
)


def _active(world: Json) -> list[Json]:
    return [r for r in world["requests"].values() if r["state"] == "ACTIVE"]


def _homes(folder: str, world: Json, fault: Json) -> list[tuple[Json, str, int, str]]:
    """(node, its name, worker, home) of the workers that a fault is about: one, or all where it names none."""
    found = []
    for request in _active(world):
        for i, name in enumerate(request["nodes"]):
            for worker in range(request["hosts"]):
                rank = i * request["hosts"] + worker
                if (
                    fault.get("worker") in (None, rank)
                    or fault["worker"] % (len(request["nodes"]) * request["hosts"]) == rank
                ):
                    found.append((world["nodes"][name], name, worker, w.home(folder, name, worker)))
    return found


def preempt(folder: str, world: Json, fault: Json) -> None:
    for request in _active(world):
        w.preempt(folder, world, request)


def vanish(folder: str, world: Json, fault: Json) -> None:
    """The slices end, as in maintenance; the request is not told."""
    for request in _active(world):
        for node in request["nodes"]:
            w.kill(os.path.join(folder, "nodes", node))
            world["nodes"][node]["state"] = "TERMINATED"


def doom(folder: str, world: Json, fault: Json) -> None:
    """The next request that is provisioned fails."""
    world["doom"] = fault.get("message", INTERNAL)


def deaf(folder: str, world: Json, fault: Json) -> None:
    """SSH reaches some workers no more, for some seconds."""
    for node, _, worker, _ in _homes(folder, world, fault):
        node["deaf"][str(worker)] = world["now"] + fault.get("seconds", 120.0)


def dead(folder: str, world: Json, fault: Json) -> None:
    """A worker's machine stops for good; Cloud TPU says READY as before."""
    for node, _, worker, home in _homes(folder, world, fault):
        w.kill(home)
        node["dead"].append(worker)


def reboot(folder: str, world: Json, fault: Json) -> None:
    """All processes end; the disk stays, and the startup script runs again."""
    for node, name, worker, home in _homes(folder, world, fault):
        w.kill(home)
        w.begin(folder, world["requests"][node["request"]], name, worker)


def kill_run(folder: str, world: Json, fault: Json) -> None:
    """The training process is killed, as by the kernel's out-of-memory killer."""
    for *_, home in _homes(folder, world, fault):
        w.kill(home, only=fault.get("only", "standin"))


def _touch(name: str) -> Callable[[str, Json, Json], None]:
    def fault_(folder: str, world: Json, fault: Json) -> None:
        for *_, home in _homes(folder, world, fault):
            with contextlib.suppress(OSError), open(os.path.join(home, name), "w", encoding="utf-8") as f:
                f.write(str(fault.get("text", "")))

    return fault_


def _set(key: str) -> Callable[[str, Json, Json], None]:
    def fault_(folder: str, world: Json, fault: Json) -> None:
        world[key] = fault["value"]

    return fault_


def chips(folder: str, world: Json, fault: Json) -> None:
    """Another quota or capacity: {"what": "quota", "chips": N}."""
    world[fault["what"]] = dict.fromkeys(world[fault["what"]], fault["chips"])


KINDS: dict[str, Callable[[str, Json, Json], None]] = {
    "preempt": preempt,
    "vanish": vanish,
    "doom": doom,
    "deaf": deaf,
    "dead": dead,
    "reboot": reboot,
    "kill_run": kill_run,
    "hang": _touch("hang"),  # the stand-in stops making steps when it sees the file
    "crash": _touch("crash"),  # it prints the text and ends with status 1
    "install_fails": _touch("uv_fails"),
    "install_half": _touch("uv_half"),
    "install_hangs": _touch("uv_hangs"),
    "mismatch": _touch("uv_versions"),
    "lock": _touch("libtpu_lockfile"),  # without an owner
    "answers": _set("failing"),  # {"value": {"count": N, "message": TEXT, "words": [...], "after": false}}
    "may": _set("may"),
    "chips": chips,
}


def due(folder: str, world: Json) -> None:
    """Lets happen what is due."""
    step = None
    left = []
    for fault in world["faults"]:
        if "step" in fault and step is None:
            step = progress(folder)
        ready = (
            world["calls"] >= fault.get("call", 0)
            and world["now"] - w.START >= fault.get("time", 0)
            and ("step" not in fault or (step or 0) >= fault["step"])
        )
        needs_machine = fault["kind"] not in ("doom", "answers", "may", "chips")
        if ready and not (needs_machine and not _active(world)):
            KINDS[fault["kind"]](folder, world, fault)
            world["told"].append({**fault, "at": world["now"] - w.START, "at_call": world["calls"]})
        else:
            left.append(fault)
    world["faults"] = left
    hold(folder, min((fault["step"] for fault in left if "step" in fault), default=0))


def hold(folder: str, step: int) -> None:
    """Has the training stand-in wait at a step until what is due there has happened; 0: nowhere."""
    path = os.path.join(folder, "hold")
    if not step:
        with contextlib.suppress(OSError):
            os.remove(path)
        return
    with open(f"{path}.part", "w", encoding="ascii") as f:
        f.write(str(step))
    os.replace(f"{path}.part", path)


def progress(folder: str) -> int:
    """The last step that a training stand-in has told."""
    with contextlib.suppress(OSError, ValueError), open(os.path.join(folder, "progress"), encoding="ascii") as f:
        return int(f.read())
    return 0
