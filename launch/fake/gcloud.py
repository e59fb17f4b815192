"""The fake `gcloud`: the commands that the launcher and docs/tpu.md use, over the state of a folder.

It knows the flags of each command, as the reference of gcloud lists them, and refuses others. `ssh` runs the command
with bash in the home folder of each worker, where processes go on after it, as on a real one. Only the standard library
is used, so that it starts at once.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from launch.fake import faults, project, remote
from launch.fake import world as w
from launch.fake.world import Json, Refused


class Call(NamedTuple):
    """A command line: words after `gcloud`, flags apart."""

    command: str  # e.g. compute tpus queued-resources create
    names: list[str]
    flags: dict[str, str]  # a switch has the value "true"

    def zone(self, world: Json) -> str:
        zone = self.flags.get("--zone", "")
        if not zone:
            raise Refused("The required property [zone] is not currently set.")
        if zone not in world["zones"]:
            raise Refused(f"NOT_FOUND: Location {zone} is not found or access is unauthorized.")
        return zone


_GLOBAL = ("--project", "--quiet", "--format")
_SSH = ("--zone", "--worker", "--command", "--output-directory", "--tunnel-through-iap", "--internal-ip")
# Command -> (its flags beside the global ones, least and most names). From the reference of gcloud.
_QR, _VM = "compute tpus queued-resources", "compute tpus tpu-vm"
_CREATE = (
    "--zone", "--accelerator-type", "--runtime-version", "--node-id", "--node-count", "--node-prefix", "--spot",
    "--async", "--service-account", "--network", "--subnetwork", "--internal-ips", "--valid-until-duration", "--scopes",
    "--reserved", "--labels", "--tags", "--metadata", "--metadata-from-file",
)  # fmt: skip
_FLAGS: dict[str, tuple[tuple[str, ...], int, int]] = {
    f"{_QR} create": (_CREATE, 1, 1),
    f"alpha {_QR} create": ((*_CREATE, "--provisioning-model", "--max-run-duration"), 1, 1),
    f"{_QR} describe": (("--zone",), 1, 1),
    f"{_QR} delete": (("--zone", "--force", "--async"), 1, 1),
    f"{_QR} list": (("--zone", "--filter", "--limit"), 0, 0),
    f"{_VM} describe": (("--zone",), 1, 1),
    f"{_VM} ssh": (_SSH, 1, 1),
    f"{_VM} scp": (("--zone", "--worker", "--recurse", "--tunnel-through-iap", "--internal-ip", "--compress"), 2, 99),
    f"{_VM} versions list": (("--zone",), 0, 0),
    "compute tpus accelerator-types list": (("--zone",), 0, 0),
    "compute tpus locations list": ((), 0, 0),
    "config set": ((), 2, 2),
    "config get-value": ((), 1, 1),
    "auth login": ((), 0, 0),
    "services enable": ((), 1, 9),
    "iam service-accounts create": (("--display-name", "--description"), 1, 1),
    "iam service-accounts list": ((), 0, 0),
    "projects add-iam-policy-binding": (("--member", "--role", "--condition"), 1, 1),
    "storage buckets create": (("--location", "--uniform-bucket-level-access", "--default-storage-class"), 1, 1),
    "storage buckets describe": ((), 1, 1),
    "storage buckets delete": ((), 1, 9),
    "storage buckets add-iam-policy-binding": (("--member", "--role"), 1, 1),
    "storage ls": (("--recursive", "--long"), 0, 9),
    "storage rm": (("--recursive",), 1, 9),
}  # fmt: skip
_SWITCHES = ("--quiet", "--spot", "--async", "--force", "--recurse", "--internal-ips", "--tunnel-through-iap",
             "--internal-ip", "--compress", "--reserved", "--recursive", "--long",
             "--uniform-bucket-level-access")  # fmt: skip


def parse(words: Sequence[str]) -> Call:
    """Reads a command line. Refused: an unknown command, or a flag that it does not take."""
    plain = [word for word in words if not word.startswith("-")]
    command = next((c for c in sorted(_FLAGS, key=len, reverse=True) if plain[: len(c.split())] == c.split()), None)
    if command is None:
        raise Refused(f"Invalid choice: {' '.join(plain[:4])!r}.", 2)
    known, least, most = _FLAGS[command]
    names, flags, left = [], {}, list(words)
    skip = len(command.split())
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            if skip:
                skip -= 1
            else:
                names.append(word)
            continue
        key, equals, value = word.partition("=")
        if key not in (*known, *_GLOBAL):
            raise Refused(f"unrecognized arguments: {word}", 2)
        if key in _SWITCHES:
            value = "true"
        elif not equals:
            value = left.pop(0) if left else ""
        flags[key] = value
    if not least <= len(names) <= most:
        raise Refused(f"argument: {least} to {most} names must be given, not {len(names)}", 2)
    return Call(command, names, flags)


# ---- requests ----


def _request(world: Json, call: Call) -> Json:
    zone, name = call.zone(world), call.names[0]
    request: Json | None = world["requests"].get(name)
    project = call.flags.get("--project", world["project"])
    if request is None or (request["zone"], request["project"]) != (zone, project):
        raise Refused(f"NOT_FOUND: Resource 'projects/{project}/locations/{zone}/queuedResources/{name}' was not found")
    return request


def create(folder: str, world: Json, call: Call) -> str:
    zone, name, flags = call.zone(world), call.names[0], call.flags
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise Refused(f"INVALID_ARGUMENT: Invalid resource id {name!r}")
    if name in world["requests"]:
        raise Refused(f"ALREADY_EXISTS: Resource 'projects/{world['project']}/queuedResources/{name}' already exists")
    try:
        kind, chips, hosts = w.chips_of(flags.get("--accelerator-type", ""))
    except (KeyError, ValueError):
        raise Refused(f"NOT_FOUND: Accelerator type {flags.get('--accelerator-type')!r} not found in {zone}") from None
    if flags.get("--runtime-version") not in world["images"]:
        raise Refused(f"NOT_FOUND: Runtime version {flags.get('--runtime-version')!r} not found in {zone}")
    if ("--node-id" in flags) == ("--node-count" in flags):
        raise Refused("argument (--node-id | --node-count): Exactly one must be specified.", 2)
    account = flags.get("--service-account")
    if account and account not in world["accounts"]:
        raise Refused(f"FAILED_PRECONDITION: The service account {account} does not exist")
    count = int(flags.get("--node-count", 1))
    prefix = flags.get("--node-prefix", name)
    nodes = [flags["--node-id"]] if "--node-id" in flags else [f"{prefix}-{i}" for i in range(count)]
    if w.held(world, kind) + chips * count > world["quota"][kind]:
        limit = world["quota"][kind]
        raise Refused(
            f"RESOURCE_EXHAUSTED: Quota limit 'TPU{kind.upper()}PerProjectPerZoneForTPUAPI' has been exceeded. "
            f"Limit: {limit} in zone {zone}."
        )
    startup = ""
    if script := flags.get("--metadata-from-file", "").partition("startup-script=")[2]:
        with open(script, encoding="utf-8") as f:
            startup = f.read()
    seconds, lives = (_seconds(flags.get(key, "")) for key in ("--valid-until-duration", "--max-run-duration"))
    if (flags.get("--provisioning-model") == "flex-start") != bool(lives) or lives > 7 * 86400:
        raise Refused("INVALID_ARGUMENT: flex-start needs a run duration of at most 7 days, and nothing else has one")
    world["requests"][name] = {
        "name": name, "zone": zone, "accelerator": flags["--accelerator-type"], "kind": kind, "chips": chips * count,
        "hosts": hosts, "nodes": nodes, "spot": "--spot" in flags, "error": "", "doomed": world.pop("doom", ""),
        "project": flags.get("--project", world["project"]), "labels": _labels(flags.get("--labels", "")),
        "account": account or "", "startup": startup, "valid_until": world["now"] + seconds if seconds else 0,
        "lives": lives, "state": "", "since": 0, "due": None,
    }  # fmt: skip
    w.enter(world, world["requests"][name], "CREATING", 5.0)
    return ""


def _labels(text: str) -> dict[str, str]:
    """Labels of KEY=VALUE,...; Refused: Cloud TPU takes no such key or value."""
    pairs = [part.partition("=")[::2] for part in text.split(",") if part]
    for key, value in pairs:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
            raise Refused(f"INVALID_ARGUMENT: Invalid label {key}={value}")
    return dict(pairs)


def _seconds(duration: str) -> int:
    """Seconds of a duration of gcloud, such as 6h; 0 for none."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]] if duration else 0


def _described(world: Json, request: Json) -> Json:
    state: Json = {"state": request["state"]}
    if request["error"]:
        state["failedData"] = {"error": {"code": 8, "message": request["error"]}}
    if request["state"] in ("SUSPENDING", "SUSPENDED"):
        state["stateInitiator"] = "SERVICE"
    nodes = request["nodes"]
    spec: Json = {"node": {"acceleratorType": request["accelerator"], "labels": request["labels"]}}
    spec |= {"nodeId": nodes[0]} if len(nodes) == 1 else {"multisliceParams": {"nodeCount": len(nodes)}}
    place = f"projects/{request['project']}/locations/{request['zone']}"
    found = {"name": f"{place}/queuedResources/{request['name']}", "state": state, "tpu": {"nodeSpec": [spec]}}
    return found | ({"spot": {}} if request["spot"] else {})


def describe(folder: str, world: Json, call: Call) -> str:
    return json.dumps(_described(world, _request(world, call)), indent=2)


def list_requests(folder: str, world: Json, call: Call) -> str:
    place = (call.zone(world), call.flags.get("--project", world["project"]))
    return json.dumps([_described(world, r) for r in world["requests"].values() if (r["zone"], r["project"]) == place])


def delete(folder: str, world: Json, call: Call) -> str:
    request = _request(world, call)
    if request["state"] in ("ACTIVE", "PROVISIONING", "SUSPENDING") and "--force" not in call.flags:
        raise Refused("FAILED_PRECONDITION: The queued resource has nodes; use --force to delete them too")
    if request["state"] != "DELETING":
        for node in request["nodes"]:
            w.kill(os.path.join(folder, "nodes", node))
            if node in world["nodes"]:
                world["nodes"][node]["state"] = "DELETING"
        w.enter(world, request, "DELETING", world["delete_s"])
    if "--async" not in call.flags:
        w.advance(folder, world, world["delete_s"] + 1)
    return ""


# ---- nodes ----


def _node(world: Json, call: Call, name: str) -> Json:
    zone = call.zone(world)
    node: Json | None = world["nodes"].get(name)
    if node is None or call.flags.get("--project", world["project"]) != world["requests"][node["request"]]["project"]:
        raise Refused(f"NOT_FOUND: Resource 'projects/{world['project']}/locations/{zone}/nodes/{name}' was not found")
    return node


def describe_node(folder: str, world: Json, call: Call) -> str:
    node = _node(world, call, call.names[0])
    request = world["requests"][node["request"]]
    ends = [{"ipAddress": f"10.0.0.{i + 2}", "port": 8470} for i in range(request["hosts"])]
    return json.dumps(
        {
            "name": call.names[0],
            "state": node["state"],
            "createTime": datetime.datetime.fromtimestamp(node["made"], datetime.UTC).isoformat(),
            "acceleratorType": request["accelerator"],
            "networkEndpoints": ends,
        }
    )


def main(words: Sequence[str], folder: str, limit_s: float = 300.0, machine: str = "") -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of one call, by the user or by the account of a `machine`, whose
    worker's home is given."""
    try:
        call = parse(words)
    except Refused as e:
        return e.status, "", f"ERROR: (gcloud) {e}\n"
    path = ".".join(call.command.split())
    try:
        return _run(call, folder, limit_s, machine)
    except Refused as e:
        return e.status, "", f"ERROR: (gcloud.{path}) {e}\n"


def _run(call: Call, folder: str, limit_s: float, machine: str) -> tuple[int, str, str]:
    table: dict[str, Callable[[str, Json, Call], str]] = {
        f"{_QR} create": create, f"alpha {_QR} create": create, f"{_QR} describe": describe, f"{_QR} delete": delete,
        f"{_QR} list": list_requests,
        f"{_VM} describe": describe_node, **project.COMMANDS,
    }  # fmt: skip
    with w.opened(folder) as world:
        world["calls"] += 1
        w.advance(folder, world, world["call_s"])
        faults.due(folder, world)
        late = _failing(world, call)
        if machine:
            project.check_machine(world, call, machine)
        else:
            project.check_access(world, call)
        if call.command in table:
            out = table[call.command](folder, world, call)
            if late:
                raise Refused(late)
            return 0, out + ("\n" if out and not out.endswith("\n") else ""), ""
        name = call.names[0] if call.command.endswith("ssh") else call.names[-1].partition(":")[0]
        targets = remote.targets(folder, world, call, _node(world, call, name), name)
    if call.command.endswith("scp"):
        out, errors = "", remote.scp(call, targets)
    else:
        out, errors = remote.ssh(call, targets, limit_s)
    if late:
        errors.append(late)
    return (1 if errors else 0), out, "".join(f"{e}\n" for e in errors)


def _failing(world: Json, call: Call) -> str:
    """Answers that were ordered to fail: raises at once, or returns what to say after the work was done."""
    failing = world.get("failing")
    if not failing or failing["count"] < 1 or (failing.get("words") and failing["words"] not in call.command):
        return ""
    failing["count"] -= 1
    if failing.get("after"):
        return str(failing["message"])
    raise Refused(str(failing["message"]))


def command(folder: str) -> int:
    """The executable: prints, and returns the exit status."""
    status, out, err = main(sys.argv[1:], folder, machine=os.environ.get("W2V_FAKE_WORKER", ""))
    sys.stdout.write(out)
    sys.stderr.write(err)
    return status
