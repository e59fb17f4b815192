"""What the tests of the launcher share: a fake cloud, and commands that a new launcher would run in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launch.cloud import verbs
from launch.cloud.trouble import Trouble
from launch.fake import standin
from launch.fake.play import Play, checkout, training

ROOT = Path(__file__).resolve().parent.parent
STEPS = 24
ONE = {"accelerator": "v5litepod-8"}  # one worker: quicker


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("checkout") / "source")


@pytest.fixture
def play(tmp_path: Path, source: Path) -> Iterator[Play]:
    found = Play(tmp_path, source)
    yield found
    found.end()


def run(play: Play, argv: list[str] | None = None, **asked: Any) -> Trouble | None:
    """`run` with --yes, in a new launcher."""
    return verbs.run(play.cloud("w2v"), play.state, "w2v", play.asked(argv or training(STEPS), **asked))


def status(play: Play) -> Trouble:
    return verbs.state(play.cloud("w2v"), play.state, "w2v", play.asked())


def right(play: Play, workers: int, steps: int = STEPS) -> bool:
    """The run ended with the parameters of an undisturbed one."""
    return bool(play.result()) and json.loads(play.result()) == standin.expected(workers, steps)


def tpu(*words: str, path: str, state: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "launch.tpu", *words[:2], f"--state_dir={state}", *words[2:]]
    environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
