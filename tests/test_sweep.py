"""Sweeps: which runs they are, what their scores count, and that a second call makes nothing again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from configs import skipgram
from experiments.sweep import KEPT, planned, read_tests, scores, variants
from tests.commands import refused, run
from w2v_jax.config import Config
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.evaluation.builtin import similarity_pairs
from w2v_jax.train import loop


def test_variants_are_combined_and_two_alike_are_refused() -> None:
    assert variants(["a.b=1;a.b=2,c=3", "d=4;d=5"]) == [
        {"a.b": "1", "d": "4"},
        {"a.b": "1", "d": "5"},
        {"a.b": "2", "c": "3", "d": "4"},
        {"a.b": "2", "c": "3", "d": "5"},
    ]
    assert variants([]) == [{}]
    for wrong in (["a=1;b"], ["=1"], ["a=1;"], ["a=1", "b=2;a=3"]):
        with pytest.raises(UserError, match="--vary"):
            variants(wrong)
    runs = planned(skipgram.get_config(), ["model.dim=8;model.dim=16"], (3, 4))
    assert [(r.name, r.config.train.seed, r.config.model.dim) for r in runs] == [
        ("dim8-s3", 3, 8),
        ("dim16-s3", 3, 16),
        ("dim8-s4", 4, 8),
        ("dim16-s4", 4, 16),
    ]
    with pytest.raises(UserError, match="two variants are called model.dim8-s0"):
        planned(skipgram.get_config(), ["model.dim=8;model.dim=8"], (0,))
    with pytest.raises(UserError, match=r"--vary=train.seed=5;model.dim=8: train.seed would have no effect"):
        planned(skipgram.get_config(), ["train.seed=5;model.dim=8"], (0,))
    alike = planned(skipgram.get_config(), ["data.source=text:t/a.txt;data.source=text:u/a.txt;model.dim=8"], (0,))
    assert [r.name for r in alike] == ["data.sourcetext:t_a.txt-s0", "data.sourcetext:u_a.txt-s0", "dim8-s0"]
    with pytest.raises(UserError, match="no key 'model.dims'"):
        planned(skipgram.get_config(), ["model.dims=8"], (0,))


def test_scores_are_by_kind_of_question(tmp_path: Path) -> None:
    """Offsets of a planted table: b = a + e0 in the one section, which is right; the other asks for what is not so."""
    (tmp_path / "analogy").mkdir()
    (tmp_path / "similarity").mkdir()
    words = [f"w{i}" for i in range(8)]
    (tmp_path / "analogy" / "questions-words.txt").write_text(
        ": capitals\nw0 w1 w2 w3\nw2 w3 w0 w1\n: gram1\nw0 w1 w4 w6\nw0 w1 w4 none\n"
    )
    for name in ("ws353", "men", "simlex999"):
        (tmp_path / "similarity" / f"{name}.tsv").write_text("w0\tw1\t3\nw0\tw4\t2\nw0\tw7\t1\n")
    matrix = np.zeros((8, 8), np.float32)
    for first, second, axis in ((0, 1, 1), (2, 3, 2), (4, 5, 3)):
        matrix[first, axis] = matrix[second, axis] = 1.0
        matrix[second, 0] = 1.0
    matrix[6, 6] = matrix[7, 7] = 1.0
    found = scores(Embeddings(words, matrix), read_tests(str(tmp_path), lambda _: None), 0)
    assert (found["semantic"], found["syntactic"], found["asked"]) == (100.0, 0.0, 3)
    assert found["total"] == pytest.approx(200.0 / 3.0) and {"ws353", "men", "simlex999"} < set(found)


def test_a_sweep_is_made_once_and_tabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a training that only draws vectors; it is asked again, and returns what it made, as the real one does."""
    made: list[str] = []

    def train(config: Config, where: Path, say: Callable[[str], None]) -> dict[str, float]:
        if not (where / "vectors.bin").exists():
            made.append(where.name)
            (where / "checkpoints").mkdir(parents=True)
            words = sorted({word for pair in similarity_pairs() for word in pair[:2]})
            drawn = np.random.default_rng(config.train.seed).standard_normal((len(words), config.model.dim), np.float32)
            save(Embeddings(words, drawn), where / "vectors.bin")
        return dict.fromkeys(KEPT, 2.0)

    monkeypatch.setattr(loop, "train", train)
    words = ["experiments.sweep", f"--workdir={tmp_path / 's'}", "--config=configs/skipgram.py"]
    words += ["--vary=model.dim=4;model.dim=8", "--seeds=1,2"]
    done = run(*words)
    assert done.status == 0, done.err
    kept = json.loads((tmp_path / "s" / "sweep.json").read_text())["runs"]
    assert [(one["changes"], one["seed"]) for one in kept] == [
        ({"model.dim": dim}, seed) for seed in (1, 2) for dim in ("4", "8")
    ]
    assert all(one["words"] == 2.0 and -1 <= one["scores"]["built-in"] <= 1 for one in kept)
    assert "model.dim=8" in done.out and " +- " in done.out and not list((tmp_path / "s").rglob("checkpoints"))
    second = run(*words)
    assert second.status == 0 and made == ["dim4-s1", "dim8-s1", "dim4-s2", "dim8-s2"]
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["runs"] == kept
    file = tmp_path / "tests" / "similarity" / "mine.tsv"
    file.parent.mkdir(parents=True)
    for lines in ("array\tmatrix\t3\nrow\tcolumn\t2\n", "array\tmatrix\t2\nrow\tcolumn\t3\n"):
        file.write_text(lines)  # of one name, and then of another content: scored again, not trained
        again = run(*words, f"--data_dir={tmp_path / 'tests'}")
        assert again.status == 0 and len(made) == 4, again.err
        before, kept = kept, json.loads((tmp_path / "s" / "sweep.json").read_text())["runs"]
        assert [list(one["scores"]) for one in kept] == [["mine"]] * 4
        assert all(one["scores"] != then["scores"] for one, then in zip(kept, before, strict=True))
    refused(run(*words, "--config.train.seed=4"), "--config.train.seed: would have no effect")
    refused(run(*words[:-1], "--seeds=1,1"), "--seeds=1,1: must be different whole numbers")


def test_a_sweep_of_language_models_is_scored_by_held_out_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(config: Config, where: Path, say: Callable[[str], None]) -> dict[str, float]:
        where.mkdir(parents=True, exist_ok=True)
        return dict.fromkeys(KEPT, 2.0) | {"best_heldout_loss": math.log(config.model.hidden), "heldout_loss": 9.0}

    monkeypatch.setattr(loop, "train", train)
    words = ["experiments.sweep", f"--workdir={tmp_path / 's'}", "--config=configs/language.py", "--seeds=0,1"]
    done = run(*words, "--vary=model.hidden=8,model.dim=8;model.hidden=16,model.dim=16")
    assert done.status == 0, done.err
    rows = [line.split("  ") for line in done.out.splitlines()[:3]]
    shown = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert shown[0] == ["variant", "held-out", "perplexity", "seconds", "words/s", "seeds"]
    assert [row[1:3] for row in shown[1:]] == [
        ["2.0794 +- 0.0000", "8.00 +- 0.00"],
        ["2.7726 +- 0.0000", "16.00 +- 0.00"],
    ]
    refused(run(*words, "--data_dir=x"), "--data_dir=x: is for word vectors")
