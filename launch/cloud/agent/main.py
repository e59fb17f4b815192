"""The verbs of the agent."""

from __future__ import annotations

import json
import os

from launch.cloud.agent.base import ROOT, SPEC, read
from launch.cloud.agent.look import dump, poll


def main(words: list[str]) -> int:
    """Runs one verb, and prints its answer."""
    os.makedirs(ROOT, exist_ok=True)
    verb, options = words[0], dict(word.split("=", 1) for word in words[1:])
    lines = int(options.get("lines", 20))
    if verb in ("start", "stop"):
        from launch.cloud.agent import run  # what it needs takes a while to import; the others are asked often

        answer = run.start(read(SPEC)) if verb == "start" else run.stop()
    else:
        answer = {"poll": poll, "dump": dump}[verb](lines)
    print("W2V_JAX " + json.dumps(answer), flush=True)
    return 0
