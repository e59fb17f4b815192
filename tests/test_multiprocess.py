"""Two processes of one run: stopped together, continued, and ending where one process ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import commands
from tests.commands import metrics, start, train, training

CHANGE = {"train__passes": 1.0, "mesh__data": 2}

# Each process runs the command twice, as starting it anew takes most of the time. The signal goes to one of them.
TWICE = """
import json, os, pathlib, signal, sys
import pytest
from launch.distributed import PROCESS_ID
from tests import commands

workdir, words = pathlib.Path(sys.argv[1]), sys.argv[2:]
with pytest.MonkeyPatch.context() as patch:
    if os.environ[PROCESS_ID] == "1":
        commands.at_call(patch, 8, lambda: os.kill(os.getpid(), signal.SIGTERM))
    stopped = commands.run("experiments.train", *words)
left = sorted(f.name for f in workdir.iterdir()), commands.checkpoints(workdir)
ended = commands.run("experiments.train", *words)
print(json.dumps([stopped, left, ended, "keras" in sys.modules]))
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(commands.text_of(900))
    return path


def test_two_processes_stop_at_one_step_and_end_where_one_ends(text: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "two"
    twice = ("-c", TWICE, str(workdir), *training(text, workdir, **CHANGE))
    with start("-m", "launch.local", "--processes=2", "--", "python", *twice) as process:
        try:
            out, err = process.communicate(timeout=100)
        finally:
            process.terminate()
    assert process.returncode == 0, err
    steps, results, told = [], [], []
    for line in re.findall(r"^\[[01]\] (\[\[.*)", out, re.M):
        stopped, (files, saved), ended, keras = json.loads(line)
        assert not keras, "TensorFlow takes a third longer with it"
        status, printed, err = stopped
        assert status == 143 and printed == "", err
        found = re.search(r"stopped by SIGTERM at step ([0-9,]+), which is saved", err)
        assert found is not None, err
        steps.append(int(found[1].replace(",", "")))
        assert saved == steps[:1] and not {"vectors.bin", "result.json"} & set(files)
        status, printed, err = ended
        assert status == 0, err
        told.append(f"continuing at step {found[1]} of" in err)
        results.append(json.loads(printed))
    assert len(steps) == 2 and steps[0] == steps[1] and sorted(told) == [False, True]
    same: list[dict[str, Any]] = [{k: r[k] for k in ("steps", "words", "loss", "heldout_loss")} for r in results]
    assert same[0] == same[1]
    written = [row["step"] for row in metrics(workdir)]
    assert written == sorted(set(written))

    alone = train(text, tmp_path / "one", **CHANGE).result()
    assert results[0]["heldout_loss"] == pytest.approx(alone["heldout_loss"], rel=1e-4)
    assert results[0]["words"] == alone["words"] and written[-1] == results[0]["steps"] == alone["steps"]
    words_of_two, got = commands.matrices(workdir)
    words_of_one, expected = commands.matrices(tmp_path / "one")
    assert words_of_two == words_of_one
    np.testing.assert_allclose(got, expected, rtol=1e-2, atol=1e-4)
