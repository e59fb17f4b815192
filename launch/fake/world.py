"""The state of the fake cloud, in one JSON file of a folder: requests, nodes, quota, capacity, faults, and a clock.

Time is the fake's own: every call of the fake `gcloud` takes `call_s` seconds, and `advance` lets more pass. Nothing
here waits, and only the standard library is used, since each call of the fake starts anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

FILE = "world.json"
START = 1_800_000_000.0  # of the fake's clock, seconds since 1970
CORES = {"v4": 2, "v5litepod": 1, "v5p": 2, "v6e": 1}  # that a type counts for each chip
LIVE = ("PROVISIONING", "ACTIVE", "SUSPENDING", "DELETING")  # states that hold chips

Json = dict[str, Any]


class Refused(Exception):
    """What gcloud prints behind ERROR; `status` is its exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def new(**changes: Any) -> Json:
    """A world in which everything works: one project, four zones, 64 chips of each kind."""
    kinds = list(CORES)
    return {
        "now": START,
        "call_s": 2.0,
        "calls": 0,
        "project": "my-project-1",
        "logged_in": True,
        "may": True,  # the user has roles/tpu.admin
        "default_may": True,  # a machine without a service account of its own, too
        "apis": ["tpu.googleapis.com", "storage.googleapis.com"],
        "zones": ["us-west4-a", "us-east5-a", "us-central2-b", "europe-west4-b"],
        "images": ["tpu-ubuntu2204-base", "v2-alpha-tpuv5-lite", "v2-alpha-tpuv5", "v2-alpha-tpuv6e"],
        "quota": dict.fromkeys(kinds, 64),  # chips, of requests in any state
        "capacity": dict.fromkeys(kinds, 64),  # chips, of requests that are being served
        "wait_s": 40.0,  # the shortest stay in the queue
        "provision_s": 90.0,
        "suspend_s": 40.0,
        "delete_s": 30.0,
        "accounts": [],
        "buckets": {},
        "bindings": [],
        "requests": {},
        "nodes": {},
        "faults": [],
        "told": [],
        **changes,
    }


def chips_of(accelerator: str) -> tuple[str, int, int]:
    """(kind, chips, hosts) of a type; KeyError or ValueError for one that does not exist."""
    kind, _, size = accelerator.partition("-")
    chips = int(size) // CORES[kind]
    single = (1, 4, 8) if CORES[kind] == 1 else (4,)
    cubes = CORES[kind] == 2 and (chips == 8 or chips % 64 == 0)
    if chips not in (*single, 16, 32) and not cubes and not (CORES[kind] == 1 and chips in (64, 128, 256)):
        raise ValueError(accelerator)
    return kind, chips, 1 if chips in single else chips // 4


@contextlib.contextmanager
def opened(folder: str) -> Iterator[Json]:
    """The world, for one change; two commands take turns."""
    path = os.path.join(folder, FILE)
    with open(os.path.join(folder, "lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(path, encoding="utf-8") as f:
            world = json.load(f)
        try:
            yield world
        finally:  # a call that is refused takes its time too
            save(folder, world)


def save(folder: str, world: Json) -> None:
    os.makedirs(folder, exist_ok=True)
    for name, text in ((FILE, json.dumps(world)), ("clock", repr(world["now"]))):
        part = os.path.join(folder, f"{name}.{os.getpid()}.part")
        with open(part, "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(part, os.path.join(folder, name))


def home(folder: str, node: str, worker: int) -> str:
    return os.path.join(folder, "nodes", node, str(worker))


def processes(below: str) -> list[int]:
    """The processes of workers whose home is `below`: all of them carry it in their environment."""
    found = []
    mark = re.compile(rb"(?:^|\0)W2V_FAKE_WORKER=" + re.escape(os.path.realpath(below).encode()) + rb"(?:/|\0|$)")
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as f:
                if mark.search(f.read()):
                    found.append(int(name))
    return found


def computing(below: str) -> bool:
    """Whether a process of these workers is at work now, or waits for a core that others have: it does not sleep."""
    for pid in processes(below):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
            if f.read().rpartition(")")[2].split()[0] in "RD":
                return True
    return False


def kill(below: str, number: int = signal.SIGKILL, only: str = "") -> int:
    """Sends a signal to the processes of workers, or to those with `only` in their command line; returns how many."""
    count = 0
    for _ in range(3):  # one may be forking meanwhile
        found = processes(below)
        for pid in found:
            with contextlib.suppress(OSError):
                if only:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        if only.encode() not in f.read():
                            continue
                os.kill(pid, number)
                count += 1
        if number != signal.SIGKILL or only or not found:
            break
    return count


# ---- time ----


def advance(folder: str, world: Json, seconds: float) -> None:
    """Lets time pass, and does what is due by then."""
    target = world["now"] + seconds
    while True:
        due = [r for r in world["requests"].values() if r["due"] is not None and r["due"] <= target]
        waiting = [r for r in world["requests"].values() if r["state"] == "WAITING_FOR_RESOURCES"]
        if not due:
            break
        request = min(due, key=lambda r: r["due"])
        world["now"] = max(world["now"], request["due"])
        step(folder, world, request)
        if request in waiting and request["state"] == "WAITING_FOR_RESOURCES":
            request["due"] = world["now"] + 10.0  # asks again for capacity
    world["now"] = target


def held(world: Json, kind: str, states: tuple[str, ...] = ()) -> int:
    """Chips of a kind that requests hold, in some states or in any."""
    return sum(
        r["chips"] for r in world["requests"].values() if r["kind"] == kind and (not states or r["state"] in states)
    )


def enter(world: Json, request: Json, state: str, after: float | None) -> None:
    request["state"], request["since"] = state, world["now"]
    request["due"] = None if after is None else world["now"] + after


def step(folder: str, world: Json, request: Json) -> None:
    """The next state of a request whose time has come."""
    state = request["state"]
    if state == "CREATING":
        enter(world, request, "WAITING_FOR_RESOURCES", world["wait_s"])
    elif state == "WAITING_FOR_RESOURCES":
        if request["valid_until"] and world["now"] >= request["valid_until"]:
            fail(world, request, "the request was valid until now; it expired before resources were available")
        elif held(world, request["kind"], LIVE) + request["chips"] <= world["capacity"][request["kind"]]:
            enter(world, request, "PROVISIONING", world["provision_s"])
    elif state == "PROVISIONING":
        if request["doomed"]:
            fail(world, request, request["doomed"])
            return
        enter(world, request, "ACTIVE", request.get("lives") or None)
        for node in request["nodes"]:
            world["nodes"][node] = {
                "state": "READY", "request": request["name"], "deaf": {}, "dead": [], "made": world["now"],
            }  # fmt: skip
            for worker in range(request["hosts"]):
                os.makedirs(home(folder, node, worker), exist_ok=True)
                begin(folder, request, node, worker)
    elif state == "ACTIVE":  # the run duration of a flex-start machine is over
        preempt(folder, world, request)
    elif state == "SUSPENDING":
        drop_nodes(folder, world, request)
        enter(world, request, "SUSPENDED", None)
    elif state == "DELETING":
        drop_nodes(folder, world, request)
        del world["requests"][request["name"]]


def environment(folder: str, request: Json, node: str, worker: int) -> dict[str, str]:
    """That of every process of a worker. Its rank among all workers is in the variables of `launch.distributed`."""
    here = os.path.realpath(home(folder, node, worker))
    rank, ranks = request["nodes"].index(node) * request["hosts"] + worker, len(request["nodes"]) * request["hosts"]
    joined = {}
    if ranks > 1:
        port = 20000 + (os.stat(folder).st_ino * 31 + int(request["since"])) % 20000
        joined = {"W2V_JAX_COORDINATOR": f"localhost:{port}", "W2V_JAX_PROCESSES": str(ranks)}
        joined["W2V_JAX_PROCESS_ID"] = str(rank)
    return {
        "HOME": here, "PATH": f"{folder}/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "JAX_PLATFORMS": "cpu",
        "W2V_FAKE_WORKER": here, "W2V_FAKE_FOLDER": folder, "W2V_JAX_AGENT_CLOCK": f"{folder}/clock",
        "W2V_JAX_AGENT_LOCK": f"{here}/libtpu_lockfile", **joined,
    }  # fmt: skip


def begin(folder: str, request: Json, node: str, worker: int) -> None:
    """Runs the startup script of a worker that has started."""
    if request["startup"]:
        subprocess.Popen(
            ["bash", "-c", request["startup"]], cwd=home(folder, node, worker),
            env=environment(folder, request, node, worker), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def fail(world: Json, request: Json, message: str) -> None:
    request["error"] = message
    enter(world, request, "FAILED", None)


def drop_nodes(folder: str, world: Json, request: Json) -> None:
    for node in request["nodes"]:
        kill(os.path.join(folder, "nodes", node))
        world["nodes"].pop(node, None)
        old = os.path.join(folder, "nodes", node)
        if os.path.isdir(old):  # a new node of the name has new disks
            os.makedirs(os.path.join(folder, "gone"), exist_ok=True)
            os.rename(
                old,
                os.path.join(
                    folder, "gone", f"{node}-{world['calls']}-{len(os.listdir(os.path.join(folder, 'gone')))}"
                ),
            )


def preempt(folder: str, world: Json, request: Json) -> None:
    """Cloud TPU takes an ACTIVE machine away."""
    for node in request["nodes"]:
        kill(os.path.join(folder, "nodes", node))
        if node in world["nodes"]:
            world["nodes"][node]["state"] = "PREEMPTED"
    enter(world, request, "SUSPENDING", world["suspend_s"])
