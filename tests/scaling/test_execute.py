"""Runs of a study whose files were damaged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.scaling import execute
from w2v_jax.evaluation.language import Scores
from w2v_jax.train.checkpoint import NoneIntact


def test_a_finished_run_without_an_intact_checkpoint_is_trained_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "runs" / "small"
    trained: list[bool] = []

    def train(config: Any, workdir: Path, **_: Any) -> dict[str, Any]:
        trained.append((workdir / "result.json").exists())
        (workdir / "result.json").touch()
        return {}

    def measured(run: Any, text: Any, workdir: Path, result: Any) -> dict[str, Any]:
        if len(trained) in damaged:
            raise NoneIntact("no intact checkpoint")
        return {"heldout_loss": 3.0}

    for name, value in {"known": lambda run: {}, "_measured": measured, "Record": dict}.items():
        monkeypatch.setattr(execute, name, value)
    monkeypatch.setattr(execute.loop, "train", train)
    (where / "checkpoints").mkdir(parents=True)
    (where / "result.json").touch()
    run: Any = SimpleNamespace(name="small", config=None, begins=())
    damaged = {1}
    record: Any = execute.execute(run, None, tmp_path)  # type: ignore[arg-type]
    assert record["heldout_loss"] == 3.0 and trained == [True, False]
    assert capsys.readouterr().err == "warning: no intact checkpoint; the study does so now\n"
    damaged = {3, 4}
    with pytest.raises(NoneIntact):
        execute.execute(run, None, tmp_path)  # type: ignore[arg-type]
    assert trained == [True, False, True, False]


def test_tasks_are_the_next_known_word_and_agreement_by_distance() -> None:
    scores = Scores(np.array([9.0, 1.0, 2.0, 5.0, 1.0]), np.array([True, False, True, True, False]))
    known = np.array([True, True, True, False, True])
    # The first token of the text was not predicted.
    verbs = execute.Verbs(np.array([9, 0, 2, 2, 0, 4]), np.zeros((2, 3), int))
    assert execute.tasks(scores, known, None, []) == execute.tasks(scores, known, verbs, []) == {"next word": 0.5}
    forbidden = [np.array([0.0, 2.0, 3.0, 0.0, 2.0]), np.array([0.0, 2.0, 1.0, 0.0, 2.0])]
    found = execute.tasks(scores, known, verbs, forbidden)
    assert found == {"next word": 0.5, "agreement 2 words on": 0.5, "agreement 4 words on": 1.0}
    assert execute.tasks(scores, np.zeros(5, bool), None, []) == {}
