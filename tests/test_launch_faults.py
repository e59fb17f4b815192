"""Processes of a run that are killed, whose launcher is killed, or whose port or output is taken."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.faults.processes import _alive, _children
from launch import warden
from launch.distributed import COORDINATOR, PROCESS_ID, PROCESSES, _interruptible, initialize
from launch.local import free_port
from launch.relay import Relay
from tests.commands import ROOT
from w2v_jax.errors import UserError


def start(code: str, folder: Path, processes: int = 2) -> subprocess.Popen[str]:
    """A launcher of processes that run `code` in the folder; it can use `me`, the number of the process."""
    whole = f"import os, pathlib, signal, sys, time\nme = os.environ['{PROCESS_ID}']\n{code}"
    line = [sys.executable, "-m", "launch.local", f"--processes={processes}", "--", "python", "-c", whole]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    pipe = subprocess.PIPE
    return subprocess.Popen(line, cwd=folder, env=environ, stdout=pipe, stderr=pipe, text=True)


def wait_for(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_of_a_killed_process_and_the_traceback_that_it_causes_the_killed_one_is_named(tmp_path: Path) -> None:
    code = (
        "def lost(number, frame): raise ValueError('connection closed by peer')\n"
        "if me == '1':\n"
        "    print('warning: a line of its own', file=sys.stderr)\n"
        "    while not os.path.exists('ready'): time.sleep(0.01)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "signal.signal(signal.SIGTERM, lost)  # the launcher's, as soon as the other is gone\n"
        "pathlib.Path('ready').touch()\n"
        "for _ in range(1200): time.sleep(0.05)  # a signal just before a long sleep would not end it\n"
    )
    with start(code, tmp_path) as running:
        _, err = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGKILL
    own, last = err.splitlines()
    assert own == "[1] warning: a line of its own"
    found = re.fullmatch(
        r"process 1 was killed by SIGKILL: the others were ended; what they printed then is in (.*)", last
    )
    assert found, last
    told = Path(found[1]).read_text()
    assert told.startswith("[0] Traceback ") and told.endswith("[0] ValueError: connection closed by peer\n")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_processes_end_with_their_launcher(number: signal.Signals, tmp_path: Path) -> None:
    """They get SIGTERM, and so can save."""
    code = (
        "def stop(number, frame):\n"
        "    time.sleep(0.2); pathlib.Path('saved' + me).touch(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop); pathlib.Path('ready' + me).write_text(str(os.getpid()))\n"
        "for _ in range(1200): time.sleep(0.05)  # a signal just before a long sleep would not end it\n"
    )
    with start(code, tmp_path) as running:
        wait_for(lambda: all((tmp_path / f"ready{i}").exists() for i in (0, 1)))
        running.send_signal(number)
        assert running.wait(timeout=60) == (143 if number == signal.SIGHUP else -number)
        wait_for(lambda: all((tmp_path / f"saved{i}").exists() for i in (0, 1)))


def test_a_run_whose_warden_is_killed_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    with start("while not os.path.exists('on'): time.sleep(0.01)\nprint('done')", tmp_path) as running:
        wait_for(lambda: [len(some) for some in _children(running.pid)] == [2, 1])
        (end_of_run,) = _children(running.pid)[1]
        os.kill(end_of_run, signal.SIGKILL)
        wait_for(lambda: not _alive(end_of_run))
        (tmp_path / "on").touch()
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0 and sorted(out.splitlines()) == ["[0] done", "[1] done"], err


def test_the_warden_kills_what_does_not_end() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    line = [sys.executable, "-c", code]
    with subprocess.Popen(line, stdout=subprocess.PIPE, start_new_session=True) as stubborn:
        assert stubborn.stdout is not None and stubborn.stdout.readline()
        assert warden.left([f"+{stubborn.pid}\n", "+1\n", "-1\n"]) == {stubborn.pid}
        warden.end({stubborn.pid}, 0.3)
        assert stubborn.wait(timeout=10) == -signal.SIGKILL


def test_a_port_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX would end in a segmentation fault."""
    with socket.create_server(("localhost", 0)) as other:
        port = other.getsockname()[1]
        for name, value in ((COORDINATOR, f"localhost:{port}"), (PROCESSES, "2"), (PROCESS_ID, "0")):
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=f"{COORDINATOR}=localhost:{port}: port {port} is in use"):
            initialize(1)


@pytest.mark.parametrize(("me", "missing"), [("0", "1"), ("1", "0")])
def test_a_process_that_never_starts_is_named(me: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX would end this one, after the same time, without a name."""
    for name, value in ((COORDINATOR, f"localhost:{free_port()}"), (PROCESSES, "2"), (PROCESS_ID, me)):
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"missing after 1 s: process {missing} of 2 .seen by process {me} "):
        initialize(1)


def test_while_processes_join_a_signal_ends_them_at_once() -> None:
    """JAX waits in a call that does not come back for a handler in Python."""
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with _interruptible():
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == [signal.SIG_DFL] * 2
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_output_that_cannot_be_written_is_read_all_the_same() -> None:
    """Or the processes would wait for their pipes."""
    relay, source = Relay(), io.StringIO("line\n" * 1000)
    relay.copy(0, source, Full(), errors=False)
    relay.join(10)
    assert source.tell() == 5000 and relay.error is not None and relay.error.errno == errno.ENOSPC
