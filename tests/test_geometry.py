"""The geometry of words in context against pairs by loops, known clouds, and scikit-learn."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from experiments import geometry as command
from tests.commands import ROOT, refused, run
from w2v_jax.context import ContextEncoder
from w2v_jax.context.base import Encoded
from w2v_jax.context.rows import Seen
from w2v_jax.errors import UserError
from w2v_jax.evaluation import geometry

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5)) + 0.7
WORDS, SENTENCES = RNG.integers(-1, 6, 60), np.repeat(np.arange(12), 5)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_similarities_are_means_over_all_pairs() -> None:
    (found,) = geometry.measure([X.astype(np.float32)], WORDS, SENTENCES)
    pairs = [cosine(a, b) for a, b in itertools.combinations(X, 2)]
    assert found.anisotropy == pytest.approx(np.mean(pairs), abs=1e-6)
    own = []
    for word in range(6):
        rows = X[word == WORDS]
        if len(rows) >= geometry.LEAST:
            own.append(np.mean([cosine(a, b) for a, b in itertools.combinations(rows, 2)]))
    assert len(own) > 3 and found.self_similarity == pytest.approx(np.mean(own), abs=1e-6)
    assert found.self_adjusted == pytest.approx(np.mean(own) - np.mean(pairs), abs=1e-6)
    inside = [np.mean([cosine(x, X[s == SENTENCES].mean(0)) for x in X[s == SENTENCES]]) for s in range(12)]
    assert found.intra_sentence == pytest.approx(np.mean(inside), abs=1e-6)
    assert found.length == pytest.approx(np.linalg.norm(X, axis=1).mean(), rel=1e-6)
    assert np.isnan(found.moved) and np.isnan(found.turned)


def test_explained_shares_are_those_of_the_covariance_and_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA, TruncatedSVD

    x = X[:20] + np.array([3.0, 0, 0, 0, 0])
    whole, centred, along = geometry.explained(x)
    spectrum = np.linalg.eigvalsh(x.T @ x)
    assert whole == pytest.approx(spectrum[-1] / spectrum.sum())
    assert centred == pytest.approx(PCA(1).fit(x).explained_variance_ratio_[0])
    svd = TruncatedSVD(2, algorithm="arpack", random_state=0).fit(x)
    direction = svd.components_[0]
    assert along == pytest.approx(np.var(x @ direction) / np.var(x, axis=0).sum(), rel=1e-6)
    assert along == pytest.approx(svd.explained_variance_ratio_[0], rel=1e-6)
    assert along < centred < whole


def test_vectors_that_context_does_not_change_are_explained_by_one() -> None:
    table = RNG.standard_normal((6, 5))
    static = table[WORDS]
    scaled = static * RNG.uniform(1, 2, (60, 1))
    for x in (static, scaled):
        (found,) = geometry.measure([x], WORDS, SENTENCES)
        assert found.self_similarity == pytest.approx(1) and found.explained == pytest.approx(1)
        assert found.explained_random < 0.9 and found.explained_adjusted > 0.1
        assert found.centred == pytest.approx(1)


def test_random_directions_have_no_similarity_above_chance() -> None:
    x = np.random.default_rng(1).standard_normal((4000, 64))
    (found,) = geometry.measure([x], np.arange(4000) % 40, np.arange(4000) // 20)
    assert abs(found.anisotropy) < 0.001 and abs(found.self_similarity) < 0.01
    assert abs(found.explained_adjusted) < 0.01


def test_moves_between_layers() -> None:
    first = X
    second = 3 * X  # the same direction
    turned = np.roll(X, 1, axis=1)
    found = geometry.measure([first, second, second + turned, X[:, :3]], WORDS, SENTENCES)
    assert found[1].moved == pytest.approx(2) and found[1].turned == pytest.approx(1)
    want = np.mean([np.linalg.norm(t) / np.linalg.norm(s) for t, s in zip(turned, second, strict=True)])
    assert found[2].moved == pytest.approx(want)
    cosines = [cosine(a, a + t) for a, t in zip(second, turned, strict=True)]
    assert found[2].turned == pytest.approx(np.mean(cosines))
    assert np.isnan(found[3].moved), "another width"


def test_of_frequent_words_a_part_is_taken_and_rare_words_do_not_count() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 30 + [1] * 4 + [2] * 5 + [-1] * 9)
    groups = geometry.groups_of(labels, 5, 10, rng)
    assert [len(rows) for rows in groups] == [10, 5]
    assert set(labels[groups[0]]) == {0} and groups[1].tolist() == [34, 35, 36, 37, 38]
    assert len(set(groups[0].tolist())) == 10
    with pytest.raises(ValueError, match="occurs 5 times"):
        geometry.measure([X[:4]], np.arange(4), np.zeros(4, int))


# ---- the command ----


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("geometry")
    rng = np.random.default_rng(0)
    lines = [" ".join([*rng.choice(list("abcdefghij"), 7), ".", *rng.choice(list("abcdefghij"), 4)]) for _ in range(60)]
    (home / "text.txt").write_text("\n".join(lines) + "\n")
    values = {"model.layers": 2, "model.dim": 8, "model.heads": 2, "model.length": 16, "model.objective": "masked"}
    values |= {"train.batch_size": 4, "train.max_steps": 2, "train.steps_per_call": 2, "mesh.data": 1}
    values |= {"data.source": f"text:{home}/text.txt", "data.heldout_every": 2, "log.tensorboard": False}
    config = f"--config={ROOT / 'configs/transformer.py'}"
    done = run(
        "experiments.train", config, f"--workdir={home / 'run'}", *(f"--config.{k}={v}" for k, v in values.items())
    )
    assert done.status == 0, done.err
    return home / "run"


def test_the_command_measures_the_states_of_every_layer(workdir: Path, tmp_path: Path) -> None:
    lines = [f"b\t{'ac'[i % 2]}\t1\t{'ac'[i % 2]} b {'de'[i % 2]}" for i in range(40)]
    (tmp_path / "senses.tsv").write_text("\n".join(lines) + "\n")
    given = f"--senses={tmp_path / 'senses.tsv'}"
    done = run("experiments.geometry", f"--workdirs={workdir}", f"--out={tmp_path}", given)
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "geometry.json").read_text())
    encoder = ContextEncoder.open(workdir)
    sentences, split, short = command.sentences_of(encoder, "", 20_000)
    assert not short and "left out" not in done.out and "note" not in done.out
    assert split == "heldout" and all(3 <= len(s) <= 8 and not set(s[:-1]) & command.ENDS for s in sentences)
    assert found["sentences"] == len(sentences) and found["words"] == sum(map(len, sentences))
    layers = found["runs"]["run"]["layers"]
    assert len(layers) == 3 and layers[0]["moved"] is None and layers[0]["self_similarity"] == pytest.approx(1)
    last = np.concatenate(encoder.words(sentences))
    units = last / np.linalg.norm(last, axis=1, keepdims=True)
    pairs = (units @ units.T)[~np.eye(len(units), dtype=bool)]
    assert layers[2]["anisotropy"] == pytest.approx(pairs.mean(), abs=1e-5)
    assert layers[0]["sense"] == 0.5 and layers[2]["sense"] == 1.0, "the looked-up vector has no context"
    row = next(line.split() for line in done.out.splitlines() if line.startswith("layer 2"))
    assert row[-1] == "1.000" and row[2] == f"{layers[2]['anisotropy']:.3f}"
    assert "any two words, BERT, layer 11" in done.out and (tmp_path / "geometry.png").stat().st_size > 10_000


def test_marks_and_unknown_words_have_no_type(workdir: Path) -> None:
    encoder = ContextEncoder.open(workdir)
    types, sentences = command.labels_of([encoder], [["a", "zebra", "b", "."], ["a", "7"]])
    assert types.tolist() == [0, -1, 2, -1, 0, -1] and sentences.tolist() == [0, 0, 0, 0, 1, 1]


def test_sentences_end_at_marks_and_are_cut_where_long() -> None:
    words = ["a", "b", ".", "c", "!", *"defg"]
    assert command.cut(words) == [["a", "b", "."], list("defg")], "two words are no sentence"
    assert [len(s) for s in command.cut(["x"] * 104)] == [50, 50, 4]
    assert command.notes(command.Text([["a", "b", "."]], "test", 0)) == []
    note, left = command.notes(command.Text([["a", "b", "c"]], "test", 2))
    assert "none of the words ! . ?" in note and left == "left out: 2 words in pieces of fewer than 3 words"


def test_words_without_a_vector_are_left_out_and_counted() -> None:
    read = X.astype(np.float32)
    read[:7] = 0.0
    window = X.astype(np.float32)
    window[10] = 0.0

    class Half:
        def encode(self, texts: object, places: object) -> Encoded:
            return Encoded([read, window], Seen())

    there = [i for i in range(7, 60) if i != 10]
    want = geometry.measure([X[there].astype(np.float32)], WORDS[there], SENTENCES[there])[0]
    found, left = command.measured("half", Half(), [], WORDS, SENTENCES)  # type: ignore[arg-type]
    assert left == 8 and found[0] == pytest.approx(want, nan_ok=True)
    read[:] = 0.0
    with pytest.raises(UserError, match="half has vectors of 0 of 60 words"):
        command.measured("half", Half(), [], WORDS, SENTENCES)  # type: ignore[arg-type]


def test_bad_input_ends_in_one_line(workdir: Path) -> None:
    given = f"--workdirs={workdir}"
    for flags, said in (
        ([], "--workdirs is missing"),
        ([f"--workdirs={workdir},{workdir}"], "two folders are called 'run'"),
        ([f"--workdirs={workdir.parent}"], f"--workdirs={workdir.parent}: holds no run"),
        ([given, "--words=10"], "--words=10: must be at least 1000"),
        ([given, "--text=text:none.txt"], "none.txt"),
    ):
        refused(run("experiments.geometry", *flags), said)
    said = "a masked model gives a text no probability; name the run of a causal one"
    refused(run("experiments.evaluate", f"--workdir={workdir}"), f"--workdir={workdir}: {said}")
