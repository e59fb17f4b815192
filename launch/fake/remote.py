"""SSH and SCP of the fake cloud: commands run with bash in the home folders of the workers."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from launch.fake import world as w
from launch.fake.world import Json

if TYPE_CHECKING:
    from launch.fake.gcloud import Call

Target = tuple[int, str, bool, int, int]  # worker, its home, whether SSH reaches it, rank, ranks


def targets(folder: str, world: Json, call: Call, node: Json, name: str) -> list[Target]:
    """The workers that a call is for. Refused: the node is not READY."""
    if node["state"] != "READY":
        raise w.Refused(f"FAILED_PRECONDITION: The node {name} is {node['state']}; SSH needs READY")
    request = world["requests"][node["request"]]
    hosts = request["hosts"]
    which = call.flags.get("--worker", "0")
    wanted = range(hosts) if which == "all" else [int(which)]
    first = request["nodes"].index(name) * hosts
    found = []
    for worker in wanted:
        heard = worker not in node["dead"] and node["deaf"].get(str(worker), 0) <= world["now"]
        found.append((worker, w.home(folder, name, worker), heard, first + worker, hosts * len(request["nodes"])))
    return found


def _environment(folder: str, home: str, rank: int, ranks: int) -> dict[str, str]:
    here = os.path.realpath(home)
    port = 20000 + (os.stat(folder).st_ino + int(time.time())) % 20000
    joined = {} if ranks == 1 else {
        "W2V_JAX_COORDINATOR": f"localhost:{port}", "W2V_JAX_PROCESSES": str(ranks), "W2V_JAX_PROCESS_ID": str(rank),
    }  # fmt: skip
    return {
        "HOME": here, "PATH": f"{folder}/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "JAX_PLATFORMS": "cpu",
        "W2V_FAKE_WORKER": here, "W2V_FAKE_FOLDER": folder, "W2V_JAX_AGENT_CLOCK": f"{folder}/clock",
        "W2V_JAX_AGENT_LOCK": f"{here}/libtpu_lockfile", **joined,
    }  # fmt: skip


def ssh(folder: str, call: Call, targets: list[Target], limit_s: float) -> tuple[str, list[str]]:
    """Runs the command on every worker at once; (what they print, the errors)."""
    output, errors, running = call.flags.get("--output-directory", ""), [], []
    for worker, home, heard, rank, ranks in targets:
        if not heard:
            errors.append(f"ssh: connect to host 10.0.0.{worker + 2} port 22: Connection timed out")
            continue
        child = subprocess.Popen(
            ["bash", "-c", call.flags.get("--command", "")], cwd=home, env=_environment(folder, home, rank, ranks),
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
    for worker, home, heard, _, _ in targets:
        if not heard:
            errors.append(f"ssh: connect to host 10.0.0.{worker + 2} port 22: Connection timed out")
            continue
        for file in call.names[:-1]:
            shutil.copy(file, os.path.join(home, os.path.basename(file)))
    return errors
