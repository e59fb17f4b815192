"""A study of a few seconds, and the command that makes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from experiments.scaling import report
from tests.commands import Done, run

CONFIG = """
import dataclasses
from w2v_jax.config import Config, DataConfig, LogConfig, CheckpointConfig, MeshConfig, OptimizerConfig
from w2v_jax.config import SyntheticConfig, TrainConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.scaling.study import Arm, Study


def get_config():
    run = Config(
        family="recurrent_lm",
        model=RecurrentLMConfig(cell="elementwise", layers=1, dim=4, hidden=4, tied=True, length=8),
        train=TrainConfig(batch_size=4, steps_per_call=4),
        optimizer=OptimizerConfig(dense="adamw", learning_rate=0.01),
        checkpoint=CheckpointConfig(every_steps=1000),
        log=LogConfig(eval_steps=0, tensorboard=False),
        mesh=MeshConfig(data=1),
    )
    wild = dataclasses.replace(run, optimizer=OptimizerConfig(dense="sgd", learning_rate=1e30, schedule="constant"))
    data = DataConfig(
        source="synthetic", heldout_source="synthetic:heldout", tokens="whitespace", end_token=".", min_count=1,
        unknown="error",
        synthetic=SyntheticConfig(words=60, topics=2, senses=4, distances="1,2", tokens=4000, heldout_tokens=600),
    )
    return Study(
        data=data, tokens=(320, 1280), window=8, optimum=True,
        arms={
            "tame": Arm(run, ("model.dim=4 model.hidden=4", "model.dim=6 model.hidden=6")),
            "wild": Arm(wild, ("model.dim=4 model.hidden=4",), (320,)),
        },
    )
"""
TAME = [f"tame_dim{d}-hidden{d}_{t}_s0" for d in (4, 6) for t in (320, 1280)]
WILD = "wild_dim4-hidden4_320_s0"


def scaling(study: Path, workdir: Path, *more: str) -> Done:
    return run("experiments.scaling", f"--config={study}", f"--workdir={workdir}", *more)


def rows(path: Path) -> dict[str, dict[str, Any]]:
    return {row["run"]: row for row in map(json.loads, path.read_text().splitlines())}


def losses(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {name: row["heldout_loss"] for name, row in found.items()}


def copy_without(made: Path, workdir: Path, *names: str) -> dict[str, dict[str, Any]]:
    """A copy of a study in which these runs were not made yet; returns the records of the whole."""
    shutil.copytree(made, workdir)
    forget(workdir / "results.jsonl", *names)
    for name in names:
        shutil.rmtree(workdir / "runs" / name)
    return rows(made / "results.jsonl")


def forget(results: Path, *names: str) -> None:
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(line for line in lines if json.loads(line)["run"] not in names))


def undrawn(patch: pytest.MonkeyPatch) -> None:
    """No report, which has a test of its own."""
    patch.setattr(report, "report", lambda *_: 1)
