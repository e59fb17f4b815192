"""The distance of a language model to the best possible loss: the commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.commands import ROOT, refused, run
from tests.tiny_language import undrawn


def test_the_distance_to_the_synthetic_languages_optimum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the forward algorithm on the text as the config draws it, not as the corpus holds it."""
    undrawn(monkeypatch)
    small = {"words": 30, "topics": 2, "senses": 2, "tokens": 2000, "heldout_tokens": 300, "test_tokens": 400}
    model = {"cell": "elementwise", "layers": 1, "hidden": 6, "dim": 6, "length": 16}
    settings = {f"data.synthetic.{k}": v for k, v in small.items()} | {f"model.{k}": v for k, v in model.items()}
    settings |= {"train.passes": 1.0, "train.batch_size": 4, "mesh.data": 1, "log.tensorboard": False}
    overrides = [f"--config.{k}={v}" for k, v in settings.items()]
    runs = [tmp_path / "one", tmp_path / "two"]
    done = run("experiments.train", f"--config={ROOT / 'configs/synthetic.py'}", f"--workdir={runs[0]}", *overrides)
    assert done.status == 0, done.err
    nowhere = run("experiments.figures", "optimum", f"--workdir={runs[0]}")
    refused(nowhere, "evaluation.json: no such file; first run python -m experiments.evaluate")
    done = run("experiments.evaluate", f"--workdir={runs[0]}")
    assert done.status == 0 and "test text: distance to the best possible loss" in done.out, done.err

    from w2v_jax.config import SyntheticConfig
    from w2v_jax.data.bayes import Language
    from w2v_jax.data.synthetic import plan

    cfg = SyntheticConfig(**small)
    spoken = Language.from_config(cfg, "<eos>")
    text = spoken.generate(*plan(cfg, "test"))
    found = json.loads((runs[0] / "evaluation.json").read_text())["test"]
    kinds = found["optimum"]
    assert kinds["all"]["positions"] == found["tokens"] == len(text.ids)
    assert kinds["all"]["optimum"] == pytest.approx(spoken.log_likelihood(text.ids)[0].mean(), rel=1e-9)
    assert kinds["all"]["gap"] == pytest.approx(found["nats_per_token"] - kinds["all"]["optimum"], abs=1e-9)
    for d in (1, 2, 4, 8, 16):
        assert kinds[f"verb {d}"]["positions"] == int((text.distance == d).sum())

    shutil.copytree(runs[0], runs[1])
    pair = f"--workdir={runs[0]},{runs[1]}"
    drawn = run("experiments.figures", "optimum", pair, f"--out={tmp_path / 'optimum.png'}")
    assert drawn.status == 0 and "elementwise, 1 x 6 (two)" in drawn.out, drawn.err
    assert (tmp_path / "optimum.png").stat().st_size > 5000
    (runs[1] / "evaluation.json").write_text('{"test": {"optimum": null}}')
    refused(run("experiments.figures", "optimum", pair), "has no distance to an optimum")
