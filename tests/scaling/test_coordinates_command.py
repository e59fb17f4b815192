"""`experiments.scaling --coordinates` on a study of two arms, in this process."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from configs import recipes
from experiments.scaling import coordinates
from w2v_jax.config import Config, DataConfig
from w2v_jax.errors import UserError
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.study import Arm, Study

MODEL = TransformerConfig(layers=1, dim=8, heads=2, length=8, init_scale=0.1)
OPTIMIZER = dataclasses.replace(recipes.ADAMW, learning_rate=0.01)


def test_the_check_of_a_study_is_printed_written_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Config("transformer", MODEL, optimizer=OPTIMIZER)
    ruled = dataclasses.replace(run, model=dataclasses.replace(MODEL, base_dim=8))
    arms = {"rule": Arm(ruled, ("model.dim=8", "model.dim=64")), "standard": Arm(run, ("model.dim=64",))}
    study = Study(DataConfig(source="synthetic"), arms, (1000,))
    assert coordinates.make(study, str(tmp_path), "the command") == 0
    said = capsys.readouterr()
    assert "size 3 of 3: standard, model.dim=64" in said.err
    small, large, standard = json.loads((tmp_path / "coordinates.json").read_text())["runs"]
    assert small["weights"] < large["weights"] == standard["weights"] and len(small["states"]) == 2
    assert large["logits"] / small["logits"] < 1.3 < 2 < standard["logits"] / small["logits"]
    assert f"{large['logits'] / small['logits']:.2f}" in said.out
    assert np.unique(imread(tmp_path / "coordinates.png")).size > 10


def test_a_study_without_causal_language_models_has_no_such_check() -> None:
    masked = Config("transformer", dataclasses.replace(MODEL, objective="masked"), optimizer=OPTIMIZER)
    study = Study(DataConfig(source="synthetic"), {"masked": Arm(masked, ("model.dim=8",))}, (1000,))
    with pytest.raises(UserError, match="--coordinates: no arm of this study is a causal language model"):
        coordinates.make(study, None, "")
