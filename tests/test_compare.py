"""The comparison of word models: sparse vectors score as dense ones, and the command makes, continues and refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.association import measure
from experiments import sweep
from experiments.compare import arms
from experiments.compare.__main__ import interval, table
from experiments.figures.quality import quality
from tests.commands import refused, run
from tests.data.corpora import sample_lines
from tests.test_fitted import stop_after
from w2v_jax.config import DataConfig
from w2v_jax.embeddings import Embeddings
from w2v_jax.evaluation.analogies import analogies
from w2v_jax.evaluation.similarity import similarity
from w2v_jax.evaluation.sparse_rows import SparseRows
from w2v_jax.figures import compare as figure
from w2v_jax.train import loop


def test_sparse_rows_score_as_the_same_dense_ones() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.standard_normal((40, 30)) * (rng.random((40, 30)) < 0.3)).astype(np.float32)
    dense[7] = 0  # a word without a pair
    words = [f"w{i}" for i in range(40)]
    pairs = [(f"w{i}", f"w{j}", float(rng.random())) for i, j in rng.integers(0, 40, (30, 2))]
    asked = {"some": [tuple(f"w{i}" for i in row) for row in rng.integers(0, 40, (50, 4))]}
    both = Embeddings(words, dense), SparseRows(words, sp.csr_matrix(dense))
    ours, theirs = (similarity(e, pairs) for e in both)
    np.testing.assert_allclose(ours[:2], theirs[:2], rtol=1e-5)
    for emb in both:
        # The answer that the formula gives is made the right one: every question counts.
        unit = dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-30)
        questions = []
        for a, b, c, _ in asked["some"]:
            i, j, k = (words.index(w) for w in (a, b, c))
            scores = unit @ (unit[j] + unit[k] - unit[i])
            scores[[7, i, j, k]] = -np.inf
            questions.append((a, b, c, words[int(scores.argmax())]))
        assert analogies(emb, {"all": questions}, 0)["all"].add == len(questions)


def test_the_interval_is_students() -> None:
    assert interval([1.0, 2.0, 3.0]) == pytest.approx(4.303 * 1.0 / 3**0.5, rel=1e-3) and np.isnan(interval([1.0]))
    runs = [{"scores": {"men": s}, "seconds": 2.0, "peak_mb": 10.0} for s in (0.1, 0.3)]
    assert table({"svd": {"runs": runs}}).splitlines()[-1].split()[:4] == ["svd", "0.200", "+-", "1.271"]


def test_what_cannot_be_scored_is_no_zero(tmp_path: Path) -> None:
    emb = Embeddings(["value", "values", "x"], np.eye(3, dtype=np.float32))
    found = arms.scores(emb, arms.Plan(DataConfig(), 2, 2, None))
    assert found["scores"] == {"builtin": None, "analogies": None}
    assert found["asked"]["builtin"][0] == found["asked"]["analogies"][0] == 0 < found["asked"]["analogies"][1]
    models = {"svd": {"runs": [found | {"seconds": 2.0, "peak_mb": 10.0}]}}
    lines = [line.split() for line in table(models).splitlines()]
    assert lines[1][:3] == ["svd", "-", "-"] and lines[2][3] == f"0/{found['asked']['builtin'][1]}"
    figure.draw(models, None, tmp_path / "x.png")


def test_tests_of_your_own_are_scored(tmp_path: Path) -> None:
    emb = Embeddings(["a", "b", "c", "d"], np.array([[1, 0], [0.9, 0.1], [0.5, 0.5], [0, 1]], np.float32))
    (tmp_path / "similarity").mkdir()
    (tmp_path / "similarity" / "own.tsv").write_text("a\tb\t9\na\tc\t5\na\td\t1\n")
    plan = arms.Plan(DataConfig(), 2, 2, str(tmp_path))
    assert arms.scores(emb, plan) == {"scores": {"own": pytest.approx(1.0)}, "asked": {"own": [3, 3]}}
    assert quality(emb, str(tmp_path)) == {"own": pytest.approx(1.0), "data": tmp_path.name}
    assert sweep.scores(emb, sweep.read_tests(str(tmp_path), lambda _: None), 0) == {"own": pytest.approx(1.0)}
    (tmp_path / "similarity" / "men.tsv").write_text("a\tb\t1\na\td\t9\n")
    (tmp_path / "analogy").mkdir()
    (tmp_path / "analogy" / "questions-words.txt").write_text(": s\na b c d\n")
    assert list(arms.scores(emb, plan)["scores"]) == ["men", "analogies"], "those that are compared elsewhere, if any"
    said: list[str] = []
    (tmp_path / "similarity" / "simlex999.txt").write_text("a\tb\t1\n")
    arms.asked(plan, said.append)
    assert said == [
        f"note: {tmp_path}: not there, and not scored: similarity/ws353.tsv, similarity/simlex999.tsv",
        f"note: {tmp_path}: there, but not read by this command: similarity/own.tsv, similarity/simlex999.txt",
    ]
    quality(emb, str(tmp_path), note=said.append)
    assert len(said) == 4
    assert set(sweep.scores(emb, sweep.read_tests(str(tmp_path), said.append), 0)) == {
        "semantic",
        "syntactic",
        "total",
        "asked",
        "men",
    }


def test_the_command_makes_continues_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs are made in this process, where starting Python would take most of the time."""
    made = list[str]()

    def told(command: Sequence[str]) -> tuple[int, str]:
        made.append(command[-1])
        done = run("experiments.compare", *command[3:])
        return done.status, done.err

    monkeypatch.setattr(arms, "told", told)
    (tmp_path / "t.txt").write_text("\n".join(sample_lines(400)))
    words = [f"--workdir={tmp_path / 'runs'}", f"--source=text:{tmp_path / 't.txt'}", "--dim=4", "--window=2"]
    words += ["--seeds=0", "--min_count=1", "--models=ppmi,skipgram"]
    done = run("experiments.compare", *words)
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "runs" / "results.json").read_text())
    assert list(found["models"]) == ["ppmi", "skipgram"] and found["association"]["pairs"] > 1000
    assert found["models"]["ppmi"]["runs"][0]["peak_mb"] > 50 and (tmp_path / "runs" / "compare.png").is_file()
    (tmp_path / "runs" / "ppmi-0.json").unlink()
    assert run("experiments.compare", *words).status == 0 and made == ["--one=ppmi/0", "--one=skipgram/0", made[0]]
    refused(run("experiments.compare", *words, "--dim=5"), "holds a comparison with other options")
    refused(run("experiments.compare", *words, "--models=word3vec"), "--models='word3vec': must be one of")
    del words[1]
    for more, message in (
        (f"--source=text:{tmp_path}/none.txt", "--source: .*none.txt: no such file"),
        ("--source=tfds:none", "tfds:none is not prepared under .*: prepare it there, or set TFDS_DATA_DIR$"),
        ("--tokens=word", "--tokens='word': must be one of"),
        (f"--source=text:{tmp_path}/t.txt --data_dir={tmp_path}", "no test file in it; expected similarity"),
        (f"--source=text:{tmp_path}/t.txt --one=svd", "--one=svd: must be a model and a seed"),
    ):
        refused(run("experiments.compare", *words, f"--workdir={tmp_path / 'none'}", *more.split()), message)
    assert not (tmp_path / "none").exists()


def test_a_comparison_that_was_stopped_within_a_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs that were made are not made again, and the vectors are those of a run that nothing stopped."""
    made = list[str]()

    def told(command: Sequence[str]) -> tuple[int, str]:
        made.append(command[-1])
        with monkeypatch.context() as patch:
            if made == ["--one=ppmi/0", "--one=svd/0"]:  # the first time
                stop_after(patch, 3, "ppmi_svd")
            return run("experiments.compare", *command[3:]).status, ""

    monkeypatch.setattr(arms, "told", told)
    text, folder = tmp_path / "t.txt", tmp_path / "runs"
    text.write_text("\n".join(sample_lines(200)))
    words = [f"--workdir={folder}", f"--source=text:{text}", "--dim=4", "--window=2", "--seeds=0", "--min_count=1"]
    words.append("--models=ppmi,svd")
    stopped = run("experiments.compare", *words)
    refused(stopped, "svd, seed 0: ended with status 143; the same command continues", alone=False)
    assert not (folder / "results.json").exists() and made == ["--one=ppmi/0", "--one=svd/0"]
    assert run("experiments.compare", *words).status == 0 and made[2:] == ["--one=svd/0"]
    data = DataConfig(source=f"text:{text}", min_count=1, tokens="words")
    loop.train(arms.config(arms.Plan(data, 4, 2, None), "svd", 0), tmp_path / "whole")
    assert (folder / "svd-0" / "vectors.bin").read_bytes() == (tmp_path / "whole" / "vectors.bin").read_bytes()
    logs = [(path / "metrics.jsonl").read_text().splitlines() for path in (folder / "svd-0", tmp_path / "whole")]
    assert [json.loads(line)["step"] for line in logs[0]] == list(range(1, 17)) and len(logs[1]) == 16


def test_skip_gram_factorises_shifted_pmi_where_it_has_the_dimensions(tmp_path: Path) -> None:
    """Levy and Goldberg (2014): with d >= V and long training E C^T is PMI - log k."""
    rng = np.random.default_rng(0)
    chain = rng.gamma(0.5, 1.0, (12, 12)) + 0.05
    edges, word, lines = (chain / chain.sum(1, keepdims=True)).cumsum(1), 0, []
    for _ in range(120):
        line = []
        for u in rng.random(50):
            word = min(int(np.searchsorted(edges[word], u)), 11)
            line.append(f"w{'abcdefghijkl'[word]}")
        lines.append(" ".join(line))
    (tmp_path / "t.txt").write_text("\n".join(lines))
    more = {"model.segment": 50, "train.batch_size": 1000, "train.steps_per_call": 32, "mesh.data": 1}
    found = measure(f"text:{tmp_path / 't.txt'}", "0:12:60:0", 2, tmp_path / "run", 1, **more)
    assert found["pairs"] > 130 and found["slope"] == pytest.approx(1.0, abs=0.03) and found["weighted"] > 0.99
    assert abs(found["intercept"]) < 0.05


def test_the_error_of_a_run_is_the_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys; sys.exit(print('some progress\\nerror: no words', file=sys.stderr) or 2)"
    assert arms.told([sys.executable, "-c", code]) == (2, "no words")
    assert capfd.readouterr().err == "some progress\n"
