"""The project of the fake cloud: who may do what, its APIs, service accounts and buckets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from launch.fake import world as w
from launch.fake.world import Json, Refused

if TYPE_CHECKING:
    from launch.fake.gcloud import Call


def check_access(world: Json, call: Call) -> None:
    """Refused: nobody is logged in, the API is not enabled, or the user may not use it."""
    if call.command in ("auth login", "config set", "config get-value"):
        return
    if not world["logged_in"]:
        raise Refused("You do not currently have an active account selected. Please run: $ gcloud auth login")
    if call.command.removeprefix("alpha ").startswith("compute tpus"):
        project = call.flags.get("--project", world["project"])
        if not project:
            raise Refused(
                "Error parsing [queued_resource].\nThe [queued_resource] resource is not properly specified.\n"
                "Failed to find attribute [project]. The attribute can be set in the following ways:\n"
                "- provide the argument `--project` on the command line\n- set the property `core/project`"
            )
        if "tpu.googleapis.com" not in world["apis"]:
            raise Refused(
                f"PERMISSION_DENIED: Cloud TPU API has not been used in project {project} before or it is disabled. "
                "Enable it by visiting https://console.developers.google.com/apis/api/tpu.googleapis.com then retry."
            )
        if not world["may"]:
            raise Refused(f"PERMISSION_DENIED: Permission 'tpu.nodes.create' denied on 'projects/{project}'")


def check_machine(world: Json, call: Call, home: str) -> None:
    """Refused: the account of a machine may not use the API. `home`: that of the worker."""
    node = world["nodes"].get(os.path.basename(os.path.dirname(home)))
    account = world["requests"][node["request"]]["account"] if node else ""
    bound = any(b.startswith(f"serviceAccount:{account} roles/tpu.admin ") for b in world["bindings"])
    if node and not (bound if account else world["default_may"]):
        raise Refused("PERMISSION_DENIED: Permission 'tpu.nodes.delete' denied for the account of the machine")


def enable(folder: str, world: Json, call: Call) -> str:
    world["apis"] = sorted({*world["apis"], *call.names})
    return "Operation finished successfully."


def config_set(folder: str, world: Json, call: Call) -> str:
    if call.names[0] == "project":
        world["project"] = call.names[1]
    return f"Updated property [core/{call.names[0]}]."


def config_get(folder: str, world: Json, call: Call) -> str:
    return str(world["project"]) if call.names[0] == "project" else ""


def login(folder: str, world: Json, call: Call) -> str:
    world["logged_in"] = True
    return "You are now logged in."


def create_account(folder: str, world: Json, call: Call) -> str:
    account = f"{call.names[0]}@{world['project']}.iam.gserviceaccount.com"
    if account in world["accounts"]:
        raise Refused(
            f"Resource in projects [{world['project']}] is the subject of a conflict: {account} already exists"
        )
    world["accounts"].append(account)
    return f"Created service account [{call.names[0]}]."


def accounts(folder: str, world: Json, call: Call) -> str:
    return "\n".join(world["accounts"])


def _member(world: Json, call: Call) -> str:
    member, role = call.flags.get("--member", ""), call.flags.get("--role", "")
    if not re.fullmatch(r"(user|serviceAccount|group):[^ ]+", member) or not role.startswith("roles/"):
        raise Refused("INVALID_ARGUMENT: --member=TYPE:NAME and --role=roles/ROLE must be given")
    kind, _, name = member.partition(":")
    if kind == "serviceAccount" and name not in world["accounts"]:
        raise Refused(f"INVALID_ARGUMENT: Service account {name} does not exist.")
    return f"{member} {role}"


def bind_project(folder: str, world: Json, call: Call) -> str:
    world["bindings"].append(f"{_member(world, call)} projects/{call.names[0]}")
    return f"Updated IAM policy for project [{call.names[0]}]."


def _bucket(call: Call) -> str:
    return call.names[0].removeprefix("gs://").rstrip("/")


def create_bucket(folder: str, world: Json, call: Call) -> str:
    name = _bucket(call)
    if name in world["buckets"]:
        raise Refused(f"HTTPError 409: Your previous request to create the named bucket {name} succeeded.")
    world["buckets"][name] = {"location": call.flags.get("--location", "US")}
    os.makedirs(os.path.join(folder, "buckets", name), exist_ok=True)
    return f"Creating gs://{name}/..."


def describe_bucket(folder: str, world: Json, call: Call) -> str:
    name = _bucket(call)
    if name not in world["buckets"]:
        raise Refused(f"gs://{name} not found: 404.")
    return json.dumps({"name": name, **world["buckets"][name]})


def bind_bucket(folder: str, world: Json, call: Call) -> str:
    describe_bucket(folder, world, call)
    world["bindings"].append(f"{_member(world, call)} gs://{_bucket(call)}")
    return f"Updated IAM policy of gs://{_bucket(call)}."


def list_bucket(folder: str, world: Json, call: Call) -> str:
    if not call.names:
        return "\n".join(f"gs://{name}/" for name in sorted(world["buckets"]))
    below = os.path.join(folder, "buckets", call.names[0].removeprefix("gs://").strip("/"))
    if not os.path.isdir(below):
        raise Refused("One or more URLs matched no objects.")
    return "\n".join(f"{call.names[0].rstrip('/')}/{name}" for name in sorted(os.listdir(below)))


def versions(folder: str, world: Json, call: Call) -> str:
    return "\n".join(world["images"])


def types(folder: str, world: Json, call: Call) -> str:
    call.zone(world)
    return "\n".join(f"{kind}-{8 * cores}" for kind, cores in w.CORES.items())


COMMANDS: dict[str, Callable[[str, Json, Call], str]] = {
    "auth login": login,
    "config set": config_set,
    "config get-value": config_get,
    "services enable": enable,
    "iam service-accounts create": create_account,
    "iam service-accounts list": accounts,
    "projects add-iam-policy-binding": bind_project,
    "storage buckets create": create_bucket,
    "storage buckets describe": describe_bucket,
    "storage buckets add-iam-policy-binding": bind_bucket,
    "storage ls": list_bucket,
    "compute tpus tpu-vm versions list": versions,
    "compute tpus accelerator-types list": types,
    "compute tpus locations list": lambda folder, world, call: "\n".join(world["zones"]),
}
