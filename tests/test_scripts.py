"""Commands as they are shipped: started by the path of their file, their help, and the files beside their code."""

from __future__ import annotations

import ast
import configparser
import fnmatch
import subprocess
import sys

from tests.commands import ROOT

PACKAGES = ("w2v_jax", "experiments", "configs", "launch", "benchmarks")


def test_a_command_started_by_its_path_finds_the_standard_library() -> None:
    """The first path is then experiments/, in which a package `inspect` would hide Python's own module."""
    line = [sys.executable, "experiments/ledger.py", "--config=configs/notes_transformer.py", "--vocab=50000"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "110,358,528" in done.stdout, done.stderr


def test_no_line_of_help_runs_into_the_next() -> None:
    """A backslash at the end of a line of a docstring joins two."""
    for package in ("experiments", "launch", "benchmarks"):
        for file in (ROOT / package).rglob("*.py"):
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            assert max(map(len, text.splitlines()), default=0) <= 120, file


def test_files_that_are_no_code_are_packaged() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["*"].split(", ")
    files = [f for package in PACKAGES for f in (ROOT / package).rglob("*") if f.is_file() and f.suffix != ".py"]
    files = [f for f in files if "__pycache__" not in f.parts]
    assert len(files) > 10
    assert [f for f in files if not any(fnmatch.fnmatch(f.name, pattern) for pattern in patterns)] == []
