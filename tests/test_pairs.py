"""Scores and picture of pairs, the worked example of the notes, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.pairs import explain
from tests import commands
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.evaluation import pairs
from w2v_jax.figures import pairs as picture
from w2v_jax.models import MODELS
from w2v_jax.recorded import load
from w2v_jax.train import loop

RNG = np.random.default_rng(0)


def test_the_worked_example_of_the_notes() -> None:
    (near, said), (far, other) = explain.answers()
    assert near == pytest.approx(np.sqrt(0.25 + 0.25 + 0.64), abs=1e-6) and f"{near:.4f}" == "1.0677"
    assert (said, far, other) == ("SAME", 2.5, "DIFFERENT")
    (same, grad, wrong, wrong_grad), (far_same, far_grad, right, right_grad) = explain.updates()
    assert (same, grad, right, right_grad) == (0, 0, 0, 0), "a right answer changes nothing"
    assert wrong == pytest.approx((2 - near) ** 2, abs=1e-5) and wrong_grad == pytest.approx(2 * (2 - near), abs=1e-5)
    assert far_same == pytest.approx(0.25, abs=1e-5) and far_grad == pytest.approx(1.0, abs=1e-5)
    assert "1.0677" in explain.text() and "2.5000" in explain.text()


# ---- scores and picture ----


def test_scores_beside_scikit_learn_and_scipy() -> None:
    from scipy import stats
    from sklearn.metrics import roc_auc_score

    d, same = np.round(RNG.normal(0, 1, 60), 1), RNG.random(60) < 0.6  # with ties
    d[same] -= 0.7
    found = pairs.curve(d, same)
    for cut, value in zip(found.thresholds, found.accuracies, strict=True):
        assert value == pytest.approx(pairs.accuracy(d, same, cut)), cut
    best = max(pairs.accuracy(d, same, cut) for cut in np.linspace(-5, 5, 2001))
    assert pairs.accuracy(d, same, found.best) == pytest.approx(best)
    assert pairs.area(d, same) == pytest.approx(roc_auc_score(same, -d))
    assert pairs.area(d, np.ones(60, bool)) is None
    given = d + RNG.normal(0, 1, 60)
    graded = pairs.graded(d, given)
    assert graded.pearson == pytest.approx(stats.pearsonr(d, given)[0])
    assert graded.spearman == pytest.approx(stats.spearmanr(d, given)[0])
    assert graded.error == pytest.approx(((d - given) ** 2).mean())
    assert pairs.graded(np.ones(3), np.arange(3.0)).pearson is None


def test_the_picture_shows_shares_of_each_kind(tmp_path: Path) -> None:
    panels = [("at the start", np.array([0.0, 1.0]), np.array([0.0, 1.0]))]
    panels += [("pass 1", np.array([0.0, 0.0]), np.array([1.0]))]
    found = picture.histograms(panels, 0.5)
    first, last = ([np.array(panel[kind]) for kind in ("same", "different")] for panel in found["panels"])
    assert [bars.sum() for bars in (*first, *last)] == [100] * 4
    assert [bars[[0, -1]].tolist() for bars in (*first, *last)] == [[50, 50], [50, 50], [100, 0], [0, 100]]
    assert (found["edges"][0], found["edges"][-1]) == (0.0, 1.0)
    line = picture.line("test", np.arange(1000.0), np.linspace(0, 1, 1000))
    assert len(line["thresholds"]) == 200 and (line["thresholds"][-1], line["accuracies"][-1]) == (999, 1)
    assert picture.draw(found | {"lines": [line]}, tmp_path / "p.png", "made up") == 2
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


# ---- the command ----

FILES = ("TF-IDF_cosine", "mean_of_vectors_cosine", "SIF_of_vectors_cosine", "mean_seed_0")


def test_pairs_of_one_kind_choose_no_threshold() -> None:
    from experiments.pairs.__main__ import one_kind

    assert [one_kind(np.array(x)) for x in ([0.5, 1.0], [0.4], [0.0, 0.5])] == ["SAME", "DIFFERENT", ""]


@pytest.fixture(scope="module")
def quick_compiles() -> Iterator[None]:
    """What `tests.examples.QUICK` is for one function, for all that the command compiles."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def made_pairs(folder: Path) -> None:
    """Pairs by topic in graded form, and vectors in which a topic is one dimension."""
    rng, topics = np.random.default_rng(3), (("dog", "cat", "cow"), ("car", "bus", "van"))
    matrix = rng.normal(0, 0.4, (6, 4)).astype(np.float32)
    matrix[:3, 0] += 1.0
    matrix[3:, 1] += 1.0
    save(Embeddings(topics[0] + topics[1], matrix), folder / "vectors.bin")
    for name, count in (("train", 96), ("dev", 24), ("test", 24)):
        lines = []
        for i in range(count):
            kinds = rng.permutation(2) if i % 2 else rng.integers(0, 2, 1).repeat(2)
            first, second = (" ".join(rng.choice(topics[k], 3)) for k in kinds)
            lines.append(f"{1 if i % 2 else 4}\t{first}\t{second}")
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")


def command(folder: Path, *more: str) -> commands.Done:
    names = {"source": "train", "heldout_source": "dev", "test_source": "test"}
    values = {f"data.{key}": f"pairs:{folder / name}.tsv" for key, name in names.items()}
    values |= {"model.tower": "mean", "model.bidirectional": "False", "model.hidden": "4", "model.dim": "4"}
    values |= {"model.vectors": str(folder / "vectors.bin"), "model.max_length": "4", "model.pad_lengths": "1"}
    values |= {"train.batch_size": "16", "train.steps_per_call": "3", "train.passes": "40", "train.stop_at": "0.9"}
    values |= {"optimizer.learning_rate": "0.05", "log.tensorboard": "False", "mesh.data": "1", "model.dropout": "0"}
    config = ["--config=configs/pairs_sick.py", *(f"--config.{key}={value}" for key, value in values.items())]
    return commands.run("experiments.pairs", *config, f"--workdir={folder / 'run'}", *more)


def test_the_command_ends_at_an_accuracy_and_compares_texts(
    tmp_path: Path, quick_compiles: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(commands.ROOT)
    made_pairs(tmp_path)
    done = command(tmp_path)
    assert done.status == 0, done.err
    run = tmp_path / "run"
    results = json.loads((run / "results.json").read_text())
    names = [row["model"] for row in results["models"]]
    assert names == ["TF-IDF, cosine", "mean of vectors, cosine", "SIF of vectors, cosine", "mean, seed 0"]
    assert results["cut"].keys() == {"train", "heldout", "test"} and results["cut"]["test"]["cut_examples"] == 0
    training, test = ((tmp_path / f"{name}.tsv").read_text().splitlines() for name in ("train", "test"))
    known = {tuple(sorted(line.split("\t")[1:])) for line in training}
    twice = sum(tuple(sorted(line.split("\t")[1:])) in known for line in test)
    assert 0 < results["also_in_training"]["test"] == twice < 24
    assert f"\n{twice} of the pairs stand in training too; {results['also_in_heldout']} among the held-out" in done.out
    answers = [line.split("\t") for line in test]
    assert results["majority"]["kind"] == "SAME" and "always SAME" in done.out, "48 of 96 are"
    assert results["majority"]["accuracy"] == sum(grade == "4" for grade, *_ in answers) / 24
    for row, file in zip(results["models"], FILES, strict=True):
        head, *rows = ((line.split("\t")) for line in (run / f"predictions_{file}.tsv").read_text().splitlines())
        assert head == ["line", "label", "predicted", "distance", "given", *(["score"] if "seed" in row else [])]
        assert [one[0] for one in rows] == [f"{tmp_path / 'test.tsv'}:{i}" for i in range(1, 25)]
        assert [one[4] for one in rows] == [grade for grade, *_ in answers]
        assert sum(one[1] == one[2] for one in rows) / 24 == pytest.approx(row["accuracy"])
        assert all((float(one[3]) <= row["threshold"]) == (one[2] == "SAME") for one in rows)
    trained = results["models"][-1]
    assert trained["pearson"] > 0.7 and trained["area"] > 0.9 and trained["passes"] < 40
    assert "train.stop_at is reached" in done.err and (run / "pairs.png").is_file()
    kept = json.loads((run / "seed_0" / "result.json").read_text())
    assert kept["heldout_accuracy"] >= 0.9 and kept["steps"] == 6 * kept["passes"]
    # Killed after its last checkpoint, before the result: the same end, and no further step.
    (run / "seed_0" / "result.json").unlink()
    config = load(run / "seed_0" / "config.json", MODELS)
    assert config is not None and loop.train(config, run / "seed_0")["steps"] == kept["steps"]
    assert f"continuing at step {kept['steps']} of {kept['steps']}" in capsys.readouterr().err
    for line in (tmp_path / "train.tsv").read_text().splitlines()[:2]:  # 4 and 1 of 1 to 5
        grade, first, second = line.split("\t")
        said = commands.run("experiments.pairs", f"--workdir={run}", f"--first={first}", f"--second={second}").out
        assert (": SAME; score" if grade == "4" else ": DIFFERENT; score") in said, said
    partly = commands.run("experiments.pairs", f"--workdir={run}", "--first=dog xyz", "--second=cat cat bus bus van")
    assert partly.status == 0 and partly.err.splitlines() == [
        "note: --first: not in the vocabulary, left out: xyz",
        "note: --second: the model reads 4 words at most; 1 of 5 are cut off",
    ]
