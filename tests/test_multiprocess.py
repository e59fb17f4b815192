"""Two processes of one run: stopped together, continued, and ending where one process ends."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests import commands
from tests.commands import checkpoints, metrics, start, train, training

CHANGE = {"train__passes": 4.0, "mesh__data": 2}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(commands.text_of(900))
    return path


def two_processes(words: list[str], stop_in: Path | None = None) -> tuple[int, str, str]:
    """Runs the training in two processes of one device each; sends SIGTERM once `stop_in` has its first log line."""
    with start("-m", "launch.local", "--processes=2", "--", "python", "-m", "experiments.train", *words) as process:
        try:
            deadline = time.monotonic() + 100
            while stop_in is not None and not (stop_in / "metrics.jsonl").exists():
                assert process.poll() is None and time.monotonic() < deadline, process.communicate(timeout=5)
                time.sleep(0.01)
            if stop_in is not None:
                process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=100)
        finally:
            process.terminate()
    return process.returncode, out, err


def test_two_processes_stop_at_one_step_and_end_where_one_ends(text: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "two"
    words = training(text, workdir, **CHANGE)
    status, out, err = two_processes(words, stop_in=workdir)
    assert status == 143 and "{" not in out, err
    steps = dict(re.findall(r"\[([01])\] stopped by SIGTERM at step ([0-9,]+), which is saved", err))
    assert steps.keys() == {"0", "1"} and steps["0"] == steps["1"], err
    assert checkpoints(workdir) == [int(steps["0"].replace(",", ""))]
    assert not (workdir / "vectors.bin").exists() and not (workdir / "result.json").exists()

    status, out, err = two_processes(words)
    assert status == 0, err
    assert f"continuing at step {steps['0']} of" in err
    assert "[0] {" in out and "[1] {" in out
    written = [row["step"] for row in metrics(workdir)]
    assert written == sorted(set(written))

    alone = train(text, tmp_path / "one", **CHANGE).result()
    assert metrics(workdir)[-1]["heldout_loss"] == pytest.approx(alone["heldout_loss"], rel=1e-4)
    assert written[-1] == alone["steps"] and f'"words": {alone["words"]}' in out
    words_of_two, got = commands.matrices(workdir)
    words_of_one, expected = commands.matrices(tmp_path / "one")
    assert words_of_two == words_of_one
    np.testing.assert_allclose(got, expected, rtol=1e-2, atol=1e-4)
