"""How runs end: a signal during the last call, losses that JSON cannot say, families without a training step."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import pytest

from tests import commands, fitted
from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train import failed_write, folder, loop, stop
from w2v_jax.train.programs import programs, stand_in


def test_a_signal_during_the_last_call_ends_the_command_after_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever trains several models in a row must learn of it."""
    text = tmp_path / "text.txt"
    text.write_text(commands.text_of(20, lines=60))
    given = {"train__max_steps": 8, "train__steps_per_call": 4}
    with monkeypatch.context() as patch:
        commands.at_call(patch, 2, lambda: signal.raise_signal(signal.SIGTERM))
        done = commands.train(text, tmp_path / "run", **given)
    assert done.status == 128 + signal.SIGTERM and "stopped by SIGTERM at step 8, which is saved" in done.err
    result = folder.read_result(tmp_path / "run")
    assert commands.train(text, tmp_path / "run", **given).result() == result


def a_text() -> Any:
    """Of a run that has only a result; its tokeniser writes empty files."""

    def save(workdir: Path) -> None:
        for name in ("tokenizer.json", "vocab.txt"):
            (workdir / name).touch()

    return types.SimpleNamespace(tokenizer=types.SimpleNamespace(save=save))


def test_a_damaged_result_is_refused(tmp_path: Path) -> None:
    folder.finish(tmp_path, a_text(), {}, {"loss": 1.5, "steps": 3})
    assert folder.read_result(tmp_path) == {"loss": 1.5, "steps": 3}
    file = tmp_path / "result.json"
    file.write_text(file.read_text().replace("1.5", "1.4"))
    with pytest.raises(UserError, match="result.json: does not match its own digest"):
        folder.read_result(tmp_path)
    file.write_text('{"loss": 1.5}')  # of an older version
    assert folder.read_result(tmp_path) == {"loss": 1.5}


def test_a_line_of_the_log_is_of_all_calls_since_the_last_whatever_came_between(tmp_path: Path) -> None:
    """SIGTERM between two lines: the sums so far are saved, too."""
    text = tmp_path / "text.txt"
    text.write_text(commands.text_of(20, lines=60))
    given = {"train__max_steps": 16, "train__steps_per_call": 2}
    whole = commands.train(text, tmp_path / "whole", **given)
    with pytest.MonkeyPatch.context() as patch:
        commands.at_call(patch, 5, lambda: signal.raise_signal(signal.SIGTERM))
        assert commands.train(text, tmp_path / "run", **given).status == 128 + signal.SIGTERM
    assert commands.checkpoints(tmp_path / "run")[-1] % 8, "between two lines"
    assert whole.status == commands.train(text, tmp_path / "run", **given).status == 0
    rows, expected = commands.metrics(tmp_path / "run"), commands.metrics(tmp_path / "whole")
    clocks = ("seconds", "words_per_second", "data_wait")
    assert [{k: v for k, v in row.items() if k not in clocks} for row in rows] == [
        {k: v for k, v in row.items() if k not in clocks} for row in expected
    ]


def test_a_signal_that_a_library_swallowed_stops_training() -> None:
    stop.early.append(signal.SIGTERM)
    try:
        with stop.signals() as seen:
            assert seen == [signal.SIGTERM]
    finally:
        stop.early.clear()


def test_signals_in_code_of_libraries_print_no_traceback() -> None:
    """One arrives in a callback, which cannot raise it, and another while the process cleans up."""
    program = (
        "import atexit, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from experiments.common import cli\n"
        "atexit.register(lambda: (signal.raise_signal(signal.SIGINT), print('not ended', flush=True)))\n"
        "class Callback:\n"
        "    def __del__(self): signal.raise_signal(signal.SIGTERM)\n"
        "def command(argv):\n"
        "    Callback()\n"
        "    raise ValueError('of the interrupted library')\n"
        "cli.run(command, continues=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=commands.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "")
    assert done.stderr.startswith("stopped by SIGTERM. ") and "Traceback" not in done.stderr, done.stderr


def test_a_signal_that_a_library_swallowed_ends_a_command() -> None:
    """In a callback, where it comes again; and in code that catches everything, after which the command goes on."""
    for swallowing, seconds in (("Callback()", 60), ("try: signal.raise_signal(2)\n    except: pass", 0)):
        program = (
            "import signal, time\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from experiments.common import cli\n"
            "class Callback:\n"
            "    def __del__(self): signal.raise_signal(signal.SIGINT)\n"
            "def command(argv):\n"
            f"    {swallowing}\n"
            f"    time.sleep({seconds})\n"
            "cli.run(command)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=commands.ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "stopped by SIGINT\n"), swallowing


def test_a_signal_while_a_command_imports_ends_it(tmp_path: Path) -> None:
    """Whatever the library that is imported would do with it."""
    (tmp_path / "absl.py").write_text("import signal\ntry: signal.raise_signal(2)\nexcept BaseException: pass\n")
    program = (
        "import runpy, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.argv = ['-m']\n"  # as Python has it while it looks for the command
        "runpy.run_module('experiments.evaluate', run_name='__main__')\n"
    )
    where: dict[str, Any] = {"cwd": commands.ROOT, "env": {**os.environ, "PYTHONPATH": str(tmp_path)}}
    done = subprocess.run([sys.executable, "-c", program], **where, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "stopped by SIGINT\n")


def test_importing_the_commands_changes_no_signal() -> None:
    program = "import signal; before = signal.getsignal(2); import experiments; assert signal.getsignal(2) is before"
    subprocess.run([sys.executable, "-c", program], cwd=commands.ROOT, check=True)


def test_no_thread_of_orbax_outlives_a_failed_save() -> None:
    from orbax.checkpoint._src import multihost  # noqa: F401  (as checkpoints do)
    from orbax.checkpoint._src.futures import future, synchronization

    waits = synchronization.HandlerAwaitableSignal.STEP_DIRECTORY_CREATION
    thread = future._SignalingThread(target=lambda: None, send_signals=[], receive_signals=[waits], timeout_secs=60)
    thread.start()
    assert thread.is_alive()
    failed_write.release_waiting()
    threading.Thread.join(thread, 10)
    assert not thread.is_alive()


def test_a_loss_that_overflowed_is_absent_from_the_result(tmp_path: Path) -> None:
    folder.finish(tmp_path, a_text(), {}, {"loss": 1.5, "heldout_loss": math.inf, "best": math.nan, "steps": 3})
    found = folder.read_result(tmp_path)
    assert found == {"loss": 1.5, "heldout_loss": None, "best": None, "steps": 3}


def test_a_fitted_family_has_no_step_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "svd", fitted.FAMILY)
    config = Config("svd", fitted.SVDConfig())
    with pytest.raises(UserError, match="family='svd': is fitted in sweeps"):
        programs(config, stand_in(config, 30), jax.devices()[:1])


def test_a_run_that_never_fitted_leaves_its_folder_to_another_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(commands.text_of(20, lines=60))

    def fails(patch: pytest.MonkeyPatch, error: Exception) -> None:
        patch.setattr(loop.Trainer, "fit", mock.Mock(side_effect=error))

    with monkeypatch.context() as patch:
        fails(patch, RuntimeError("RESOURCE_EXHAUSTED: Out of memory"))
        commands.refused(commands.train(text, tmp_path / "run"), "out of memory .*choose smaller sizes", alone=False)
    assert not (tmp_path / "run" / "config.json").exists()
    assert commands.train(text, tmp_path / "run", train__max_steps=4).status == 0
    with monkeypatch.context() as patch:  # what has trained before keeps its config
        fails(patch, MemoryError())
        (tmp_path / "run" / "result.json").unlink()
        commands.refused(commands.train(text, tmp_path / "run", train__max_steps=4), "out of memory", alone=False)
    assert (tmp_path / "run" / "config.json").exists()
