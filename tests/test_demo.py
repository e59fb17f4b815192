"""The demo on a small text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.demo import GROUPS, WORDS
from tests import commands
from w2v_jax.embeddings import load

CONFIG = """
from w2v_jax.config import Config, DataConfig, LogConfig, OptimizerConfig, TrainConfig
from w2v_jax.models.word2vec import Word2VecConfig


def get_config():
    return Config(
        family="word2vec",
        model=Word2VecConfig(dim=8, segment=32, shared_negatives=16),
        data=DataConfig(source="text:{text}", heldout_every=20, min_count=2),
        train=TrainConfig(passes=2.0, batch_size=256, steps_per_call=4),
        optimizer=OptimizerConfig(learning_rate={rate}, rows="{rows}"),
        log=LogConfig(every_steps=16),
    )
"""


def config(folder: Path, rate: float = 0.3, rows: str = "adagrad") -> str:
    """A config file over a text in which most of the demo's words occur, and words of one group together."""
    rng = np.random.default_rng(0)
    groups = [words[:-1] for words in GROUPS.values()]
    lines = [" ".join(rng.choice([*groups[i % len(groups)], *WORDS[:4], "the", "of"], 16)) for i in range(600)]
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    (folder / "config.py").write_text(CONFIG.format(text=folder / "text.txt", rate=rate, rows=rows))
    return f"--demo_config={folder / 'config.py'}"


def test_demo(tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    words = (config(tmp_path), f"--workdir={workdir}", "--passes=3")
    done = commands.run("experiments.demo", *words)
    assert done.status == 0, done.err
    lines = done.out.rstrip().splitlines()
    assert lines[-1] == str(workdir.resolve())
    assert any(line.startswith("3 passes, ") and "words/s" in line and "held-out" in line for line in lines)
    assert "words/s" in done.err and "left" in done.err
    # Neighbours of the words that occur, and of no others, as the written vectors have them.
    emb = load(workdir / "vectors.bin")
    shown = [line.split(":")[0].strip() for line in lines[lines.index("Nearest neighbours by cosine") + 1 :]]
    assert [w for w in WORDS if w in emb] == [w for w in shown if w in WORDS] and "array" in shown
    near = emb.nearest(["array"], topn=1)[0]
    assert any(line.strip().startswith(f"array: {near[0]} {near[1]:.2f}") for line in lines)
    for name in ("C.bin", "vocab.txt", "config.json", "metrics.jsonl", "projector/vectors.tsv", "tensorboard"):
        assert (workdir / name).exists(), name
    assert (workdir / "map.png").read_bytes().startswith(b"\x89PNG") and (workdir / "map.png").stat().st_size > 10_000
    assert json.loads((workdir / "evaluation.json").read_text())
    assert json.loads((workdir / "result.json").read_text())["passes"] == 3
    # Once more: what is trained is not trained again.
    trained = (workdir / "vectors.bin").stat().st_mtime_ns
    again = commands.run("experiments.demo", *words)
    assert again.status == 0 and again.out == done.out and "finished" in again.err
    assert (workdir / "vectors.bin").stat().st_mtime_ns == trained


@pytest.mark.parametrize("what", ["interrupted", "diverged"])
def test_demo_that_does_not_end(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    words = [config(tmp_path, *((1e12, "sgd") if what == "diverged" else ())), f"--workdir={tmp_path / 'run'}"]
    if what == "interrupted":
        commands.at_call(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    done = commands.run("experiments.demo", *words)
    assert done.out == "" and "Traceback" not in done.err
    last = done.err.strip().splitlines()[-1]
    if what == "interrupted":
        assert done.status == 143 and "which is saved. The same command continues: " in last
    else:
        assert done.status == 1 and last.startswith("error: the ") and "not finite" in last
    assert not (tmp_path / "run" / "map.png").exists() and not (tmp_path / "run" / "vectors.bin").exists()
