"""A run is continued with the config that its checkpoints were trained with, whatever config.json says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests import commands
from tests.commands import Done, checkpoints, refused, train

pytestmark = pytest.mark.xdist_group("loop")  # one worker: the run is that of the other tests of the loop


@pytest.fixture
def finished(whole: tuple[Path, Done], tmp_path: Path) -> Path:
    """A finished run whose config.json and result are gone."""
    workdir = Path(shutil.copytree(whole[0], tmp_path / "run"))
    (workdir / "config.json").unlink()
    (workdir / "result.json").unlink()
    return workdir


def test_without_config_json_another_seed_and_rate_are_refused(text: Path, finished: Path) -> None:
    kept = checkpoints(finished)
    other = {"train__seed": 5, "optimizer__learning_rate": 0.05, "checkpoint__every_steps": 1000}
    refused(
        train(text, finished, **other), "trained with another config .optimizer.learning_rate, train.seed", alone=False
    )
    assert not (finished / "config.json").exists() and checkpoints(finished) == kept
    done = train(text, finished, checkpoint__every_steps=1000)
    assert done.status == 0, done.err
    assert (finished / "config.json").exists() and (finished / "result.json").exists()


def test_a_replaced_config_json_does_not_speak_for_the_checkpoints(
    text: Path, whole: tuple[Path, Done], finished: Path
) -> None:
    config = json.loads((whole[0] / "config.json").read_text())
    config["train"]["seed"] = 5
    (finished / "config.json").write_text(json.dumps(config))
    refused(train(text, finished, train__seed=5), "trained with another config .train.seed", alone=False)


def test_a_finished_run_notices_that_its_text_has_changed(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text(commands.text_of(60))
    words = commands.training(tmp_path / "corpus", tmp_path / "run", train__max_steps=4)
    first = commands.run("experiments.train", *words)
    assert first.status == 0, first.err
    again = commands.run("experiments.train", *words)
    assert again.status == 0 and again.result() == first.result()
    (tmp_path / "corpus" / "b.txt").write_text("more text here\n" * 30)
    refused(commands.run("experiments.train", *words), "holds a finished run, but the text of data.source=.*changed")
    shutil.rmtree(tmp_path / "corpus")
    gone = commands.run("experiments.train", *words)
    assert gone.status == 0 and "cannot be read any more" in gone.err and gone.result() == first.result()
