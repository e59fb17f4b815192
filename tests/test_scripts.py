"""Commands that are started by the path of their file."""

from __future__ import annotations

import subprocess
import sys

from tests.commands import ROOT


def test_a_command_started_by_its_path_finds_the_standard_library() -> None:
    """The first path is then experiments/, in which a package `inspect` would hide Python's own module."""
    line = [sys.executable, "experiments/ledger.py", "--config=configs/notes_transformer.py", "--vocab=50000"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "110,358,528" in done.stdout, done.stderr
