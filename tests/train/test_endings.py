"""How runs end: a signal during the last call, losses that JSON cannot say, families without a training step."""

from __future__ import annotations

import json
import math
import signal
import types
from pathlib import Path

import jax
import pytest

from tests import commands, fitted
from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train import folder
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
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert commands.train(text, tmp_path / "run", **given).result() == result


def test_a_loss_that_overflowed_is_absent_from_the_result(tmp_path: Path) -> None:
    text = types.SimpleNamespace(tokenizer=types.SimpleNamespace(save=lambda path: None))
    folder.finish(tmp_path, text, {}, {"loss": 1.5, "heldout_loss": math.inf, "best": math.nan, "steps": 3})  # type: ignore[arg-type]
    found = json.loads((tmp_path / "result.json").read_text())
    assert found == {"loss": 1.5, "heldout_loss": None, "best": None, "steps": 3}


def test_a_fitted_family_has_no_step_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "svd", fitted.FAMILY)
    config = Config("svd", fitted.SVDConfig())
    with pytest.raises(UserError, match="family='svd': is fitted in sweeps"):
        programs(config, stand_in(config, 30), jax.devices()[:1])
