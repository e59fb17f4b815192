"""SSH and SCP of the fake cloud: commands run with bash in the home folders of the workers."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from launch.fake import world as w
from launch.fake.world import Json

if TYPE_CHECKING:
    from launch.fake.gcloud import Call

Target = tuple[int, str, bool, dict[str, str]]  # worker, its home, whether SSH reaches it, its environment


def targets(folder: str, world: Json, call: Call, node: Json, name: str) -> list[Target]:
    """The workers that a call is for. Refused: the node is not READY."""
    if node["state"] != "READY":
        raise w.Refused(f"FAILED_PRECONDITION: The node {name} is {node['state']}; SSH needs READY")
    request = world["requests"][node["request"]]
    hosts = request["hosts"]
    which = call.flags.get("--worker", "0")
    wanted = range(hosts) if which == "all" else [int(which)]
    found = []
    for worker in wanted:
        heard = worker not in node["dead"] and node["deaf"].get(str(worker), 0) <= world["now"]
        found.append((worker, w.home(folder, name, worker), heard, w.environment(folder, request, name, worker)))
    return found


def ssh(call: Call, targets: list[Target], limit_s: float) -> tuple[str, list[str]]:
    """Runs the command on every worker at once; (what they print, the errors)."""
    output, errors, running = call.flags.get("--output-directory", ""), [], []
    for worker, home, heard, environment in targets:
        if not heard:
            errors.append(f"ssh: connect to host 10.0.0.{worker + 2} port 22: Connection timed out")
            continue
        child = subprocess.Popen(
            ["bash", "-c", call.flags.get("--command", "")], cwd=home, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        running.append((worker, child))
    printed = []
    for worker, child in running:
        try:
            out, _ = child.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            out, _ = child.communicate()
        text = out.decode(errors="replace")
        if child.returncode:
            errors.append(f"##### Command execution on worker {worker} failed with exit status {child.returncode}.")
        if output:
            with open(os.path.join(output, f"{worker}.log"), "w", encoding="utf-8") as f:
                f.write(text)
        else:
            printed.append(text)
    return "".join(printed), errors


def scp(call: Call, targets: list[Target]) -> list[str]:
    errors = []
    for worker, home, heard, _ in targets:
        if not heard:
            errors.append(f"ssh: connect to host 10.0.0.{worker + 2} port 22: Connection timed out")
            continue
        for file in call.names[:-1]:
            shutil.copy(file, os.path.join(home, os.path.basename(file)))
    return errors
