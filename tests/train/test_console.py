"""Standard streams that are full, closed or without a reader end no run; its folder says what could not be printed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT
from w2v_jax.config import Config
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.train import folder
from w2v_jax.train.console import Console
from w2v_jax.train.logs import Record, tell


class Pipe(io.StringIO):
    """Its reader has ended."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (lambda: open("/dev/full", "w"), "No space left on device"),  # noqa: SIM115
        (Pipe, "Broken pipe"),
        (closed, "I/O operation on closed file"),
        (lambda: None, "it is closed"),
    ],
)
def test_a_run_goes_on_where_its_lines_cannot_be_printed(
    stream: object, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(stream)
    before = Console(stream())
    monkeypatch.setattr(sys, "stderr", before)
    tell("before the folder is open")
    with folder.opened(tmp_path, Config("word2vec", Word2VecConfig()), 100, 1.0) as (_, log):
        tell("a warning")
        log.write(Record(10, 0.1, loss=2.5))
        log.note("a note")
    assert sys.stderr is before
    lines = (tmp_path / "console.log").read_text().splitlines()
    assert lines[0] == f"What standard error did not take ({reason}):"
    assert lines[1:3] == ["before the folder is open", "a warning"] and lines[-1] == "a note"
    assert any("loss 2.5000" in line for line in lines)
    assert '"loss": 2.5' in (tmp_path / "metrics.jsonl").read_text()


def test_with_a_whole_standard_error_there_is_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with folder.opened(tmp_path, Config("word2vec", Word2VecConfig()), 100, 1.0):
        tell("a line")
    assert capsys.readouterr().err == "a line\n" and not (tmp_path / "console.log").exists()


COMMAND = """
import contextlib, os, sys
from experiments.common import cli
def main(argv):
    with open(argv[1], "w") as f:
        print("a line", file=sys.stderr)
        with contextlib.suppress(OSError):
            os.write(2, b"of a library")
        print("result", f.fileno() > 2)
cli.run(main, arguments=1)
"""


@pytest.mark.parametrize(
    ("redirected", "status", "printed"),
    [
        ("2>/dev/full", 0, "result True\n"),
        ("2>&-", 0, "result True\n"),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 2, "a line\nof a libraryerror: standard output: no space is left on the device"),
    ],
)
def test_standard_streams_of_a_command(redirected: str, status: int, printed: str, tmp_path: Path) -> None:
    line = ["sh", "-c", f'"$0" -c "$1" "$2" {redirected}', sys.executable, COMMAND, str(tmp_path / "file")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    assert (done.stdout + done.stderr).startswith(printed) and len(done.stderr.splitlines()) <= 2, done.stderr
    assert (tmp_path / "file").read_bytes() == b""
