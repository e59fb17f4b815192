"""The pair encoder: reading, distances and losses against numpy, SIF by enumeration, scores, and the command."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.pairs import explain, newsgroups
from tests import commands
from tests.examples import quick, random_params
from w2v_jax.config import Config, DataConfig, MeshConfig, TrainConfig
from w2v_jax.data.pair_corpus import PairExamples, build_pair_corpus, pair_source
from w2v_jax.data.pairs import Pair, read_pairs
from w2v_jax.data.pipeline import stacked
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.evaluation import pairs
from w2v_jax.figures import pairs as picture
from w2v_jax.models import pair_towers
from w2v_jax.models.pair_encoder import FAMILY, PairEncoderConfig, shapes
from w2v_jax.models.pair_losses import Objective, compared, grade_targets, pair_losses
from w2v_jax.train.programs import programs, stand_in

HOW = Objective("contrastive", threshold=0.0, margin=2.0, near=0.5, temperature=0.3, grades=5)
RNG = np.random.default_rng(0)
A, B = (RNG.normal(0, 0.4, (6, 4)).astype(np.float32) for _ in range(2))
GIVEN = np.array([1.0, 0.0, 0.7, 0.2, 1.0, 0.9], np.float32)
THERE = np.array([True, True, True, True, True, False])


def losses_of(loss: str, head: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(losses, which count, distances, scores) of the pairs above."""
    how = dataclasses.replace(HOW, loss=loss)
    a, b, given, there = map(jnp.asarray, (A, B, GIVEN, THERE))
    found, counted = pair_losses(how, head or {}, a, b, given, there)
    return tuple(map(np.asarray, (found, counted, *compared(how, head or {}, a, b))))  # type: ignore[return-value]


# ---- the worked example ----


def test_the_worked_example_of_the_notes() -> None:
    (near, said), (far, other) = explain.answers()
    assert near == pytest.approx(np.sqrt(0.25 + 0.25 + 0.64), abs=1e-6) and f"{near:.4f}" == "1.0677"
    assert (said, far, other) == ("SAME", 2.5, "DIFFERENT")
    (same, grad, wrong, wrong_grad), (far_same, far_grad, right, right_grad) = explain.updates()
    assert (same, grad, right, right_grad) == (0, 0, 0, 0), "a right answer changes nothing"
    assert wrong == pytest.approx((2 - near) ** 2, abs=1e-5) and wrong_grad == pytest.approx(2 * (2 - near), abs=1e-5)
    assert far_same == pytest.approx(0.25, abs=1e-5) and far_grad == pytest.approx(1.0, abs=1e-5)
    assert "1.0677" in explain.text() and "2.5000" in explain.text()


# ---- losses ----


def test_losses_of_single_pairs_are_their_formulas() -> None:
    euclid = np.sqrt(((A - B) ** 2).sum(1))
    found, _, distance, score = losses_of("contrastive")
    wanted = GIVEN * np.maximum(0, euclid - 0.5) ** 2 + (1 - GIVEN) * np.maximum(0, 2 - euclid) ** 2
    np.testing.assert_allclose(found, wanted * THERE, rtol=1e-5)
    np.testing.assert_allclose(distance, euclid, rtol=1e-5)
    np.testing.assert_allclose(score, -euclid, rtol=1e-5)
    cosine = (A * B).sum(1) / np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1)
    for loss, value in (("cosine", cosine), ("manhattan", np.exp(-np.abs(A - B).sum(1)))):
        found, _, distance, score = losses_of(loss)
        np.testing.assert_allclose(found, (value - GIVEN) ** 2 * THERE, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose((score, 1 - distance), (value, value), rtol=1e-5)


def test_grades_are_those_of_tai_and_others() -> None:
    """Their example: a score of 3.4 of 1 to 5 is grade 3 with .6 and grade 4 with .4."""
    given = np.array([(3.4 - 1) / 4, 0.0, 1.0, 0.5], np.float32)
    wanted = [[0, 0, 0.6, 0.4, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]
    np.testing.assert_allclose(grade_targets(jnp.asarray(given), 5), wanted, atol=1e-6)
    head = {k: RNG.normal(0, 1, s).astype(np.float32) for k, s in {"U": (8, 3), "e": 3, "W": (3, 5), "c": 5}.items()}
    found, _, distance, score = losses_of("grades", head)
    hidden = 1 / (1 + np.exp(-(np.hstack([np.abs(A - B), A * B]) @ head["U"] + head["e"])))
    logits = hidden @ head["W"] + head["c"]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    q = np.asarray(grade_targets(jnp.asarray(GIVEN), 5))
    kl = np.where(q > 0, q * np.log(np.where(q > 0, q, 1) / p), 0).sum(1)
    np.testing.assert_allclose(found, kl * THERE, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(score, p @ np.linspace(0, 1, 5), rtol=1e-5)
    np.testing.assert_allclose(distance, 1 - score, rtol=1e-6)


def test_in_batch_negatives_leave_out_absent_pairs() -> None:
    found, counted, _, _ = losses_of("info_nce")
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (A, B))
    logits = (a @ b.T / 0.3)[:5, :5]
    both = [np.log(np.exp(x).sum(1)) - np.diag(x) for x in (logits, logits.T)]
    same = [0, 2, 4]  # 5 is not there
    np.testing.assert_allclose(found[same], np.mean(both, axis=0)[same], rtol=1e-4)
    assert counted.tolist() == [True, False, True, False, True, False] and not found[[1, 3, 5]].any()


def test_a_loss_over_the_batch_is_not_taken_of_parts() -> None:
    tiny = FAMILY.examples[0]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"train": TrainConfig(batch_size=8, accumulate=2)}, "train.accumulate=2"),
        ({"train": TrainConfig(batch_size=8), "mesh": MeshConfig(data=2, per_device=True)}, "mesh.per_device=True"),
    ]
    for change, key in cases:
        config = Config("pair_encoder", dataclasses.replace(tiny, loss="info_nce"), **change)
        with pytest.raises(UserError, match=f"{key}: the loss of pair_encoder compares all rows"):
            programs(config, stand_in(config, 40), jax.devices()[:2])
        other = dataclasses.replace(config, model=tiny)
        programs(other, stand_in(other, 40), jax.devices()[:2])


# ---- towers ----


def test_sif_is_the_expectation_over_all_texts_and_takes_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    length, a, counts, drawn = 4, 0.1, np.array([50, 30, 20]), np.array([1, 6, 3])
    monkeypatch.setattr(pair_towers, "SIF_LENGTH", float(length))
    vectors = RNG.normal(0, 1, (5, 3)).astype(np.float32)  # two rows of padding
    made = pair_towers.sif_consts(a, counts, drawn, vectors, 5, 3)
    share = counts / 100
    weights = np.append(a / (a + share), [1, 1])
    second = np.zeros((3, 3))
    for text in itertools.product(range(3), repeat=length):
        v = (weights[list(text), None] * vectors[list(text)]).mean(0)
        second += (drawn / 10)[list(text)].prod() * np.outer(v, v)
    wanted = np.linalg.eigh(second)[1][:, -1]
    np.testing.assert_allclose(made["weights"], weights, rtol=1e-6)
    np.testing.assert_allclose(made["component"], wanted * np.sign(wanted.sum()), atol=1e-5)
    cfg = PairEncoderConfig(tower="sif", dim=3, max_length=3, vocab_size=3)
    params = {"embed": jnp.zeros((128, 3)).at[:5].set(vectors)}
    consts = {"weights": jnp.pad(made["weights"], (0, 123)), "component": jnp.asarray(made["component"])}
    compare = FAMILY.compare
    assert compare is not None
    tokens = jnp.array([[2, 1, 0], [1, 1, 1]], jnp.int32)
    found = np.asarray(compare.vectors(cfg, params, consts, tokens, jnp.array([2, 0], jnp.int32)))
    plain = (weights[2] * vectors[2] + weights[1] * vectors[1]) / 2
    np.testing.assert_allclose(found[0], plain - made["component"] * (made["component"] @ plain), atol=1e-5)
    assert abs(found[0] @ made["component"]) < 1e-5 and not found[1].any(), "a text without words is zeros"
    assert not pair_towers.sif_consts(a, counts, drawn, None, 5, 3)["component"].any()


def test_both_texts_go_through_one_tower_whatever_follows_them() -> None:
    compare = FAMILY.compare
    assert compare is not None
    for change in ({"bidirectional": True, "pool": "last"}, {"pool": "max"}):
        cfg = PairEncoderConfig(tower="lstm", loss="grades", hidden=3, dim=4, units=2, max_length=5, vocab_size=9)
        cfg = dataclasses.replace(cfg, **change)
        params = random_params(FAMILY, cfg, {}, seed=1)
        tokens, lengths = RNG.integers(0, 9, (3, 5)).astype(np.int32), np.array([5, 2, 3], np.int32)
        junk = np.where(np.arange(5) < lengths[:, None], tokens, (tokens + 1) % 9)
        both = np.concatenate([tokens, junk])
        s = quick(lambda p, t, n: compare.vectors(cfg, p, {}, t, n), params, both, np.tile(lengths, 2))  # noqa: B023
        np.testing.assert_allclose(s[:3], s[3:], atol=1e-6)
        short = compare.vectors(cfg, params, {}, jnp.asarray(tokens[1:2, :2]), jnp.array([2], jnp.int32))
        np.testing.assert_allclose(s[1], short[0], atol=1e-5)
        one, other = (compare.pairs(cfg, params, *pair)[0] for pair in ((s[:3], s[::-1][:3]), (s[::-1][:3], s[:3])))
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tower": "lstm"}, "model.hidden=0: must be above 0 for lstm"),
        ({"pool": "last"}, "model.pool='last': must be mean or max for mean"),
        ({"bidirectional": True}, "model.bidirectional=True: model.tower=mean has no direction"),
        ({"counts": "vocab.txt"}, "has no effect with model.tower=mean"),
        ({"loss": "cosin"}, r"did you mean 'cosine'"),
    ],
)
def test_what_an_encoder_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PairEncoderConfig(**change)


# ---- reading ----


def test_columns_ranges_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "a@b.tsv"
    path.write_text("TRAIN\t1\t4.5\tx\tone dog\ta cat\nTEST\t2\t1\tx\tno\tyes\n")
    graded = DataConfig(labels="1..5")
    assert read_pairs(f"pairs:{path}@3,5,6,1=TRAIN", graded) == [Pair(0.875, "one dog", "a cat")]
    assert [pair.score for pair in read_pairs(f"pairs:{path}@3,5,6", graded)] == [0.875, 0.0]
    path.write_text("same\ta\tb\tmore\nDIFFERENT\tc\td\n1\te\tf\n0\tg\th\n")
    assert [pair.score for pair in read_pairs(f"pairs:{path}", DataConfig())] == [1, 0, 1, 0]
    assert read_pairs(f"pairs:{path}", DataConfig())[1] == Pair(0.0, "c", "d")


@pytest.mark.parametrize(
    ("text", "source", "labels", "message"),
    [
        ("SAME\ta\n", "", "binary", r"p.tsv:1: has 2 columns, and column 3 is needed"),
        ("SAME\ta\tb\n1\t \tb\n", "", "binary", r"p.tsv:2: the text in column 2 is empty"),
        ("SAEM\ta\tb\n", "", "binary", r"p.tsv:1: label 'SAEM' is none of SAME, DIFFERENT, 1, 0"),
        ("3.5\ta\tb\n", "", "binary", r"p.tsv:1: label '3.5'.* data.labels to their range"),
        ("5.5\ta\tb\n", "", "1..5", r"p.tsv:1: score '5.5' is no number from 1 to 5"),
        ("nan\ta\tb\n", "", "1..5", r"p.tsv:1: score 'nan' is no number"),
        ("1\ta\tb\n", "", "sst2", r"data.labels='sst2': pairs are labelled"),
        ("1\ta\tb\n", "@1,2", "binary", r"'1,2' names no columns"),
        ("1\ta\tb\n", "@1,2,2", "binary", r"counted from 1, and label and texts are three"),
        ("1\ta\tb\n", "@1,2,3,1=0", "binary", r"no line has '0' in column 1"),
        ("", "", "binary", r"p.tsv: the file is empty"),
        ("1\ta\tb\n1\ta\tb\n", "", "binary", r"all training pairs are SAME"),
        ("1\ta\tb\n", "", "binary", r"holds one pair, and none can be held out"),
        ("1\ta\tb\n0\ta\tb\n0\tc\tb\n", "", "binary", r"none of its words is known"),
    ],
)
def test_bad_pairs_are_one_line(tmp_path: Path, text: str, source: str, labels: str, message: str) -> None:
    (tmp_path / "p.tsv").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        build_pair_corpus(DataConfig(source=f"pairs:{tmp_path}/p.tsv{source}", labels=labels, min_count=99))
    assert "\n" not in str(error.value)


def test_a_corpus_of_pairs_and_its_batches(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("1\ta b c d\ta\n0\tb\tzz yy\n1\tc c\tb\n")
    (tmp_path / "d.tsv").write_text("0\td\tq\n")
    cfg = DataConfig(source=f"pairs:{tmp_path}/p.tsv", heldout_source=f"pairs:{tmp_path}/d.tsv", min_count=1)
    words, said = ["a", "b", "c", "d", "q", "unused"], []
    corpus = build_pair_corpus(cfg, words, only_met=True, say=said.append)
    assert corpus.vocab.words == ("a", "b", "c", "d", "q")
    assert build_pair_corpus(cfg, words).vocab.words == tuple(words)
    assert corpus.train.wordless == 1 and "3 pairs (2 SAME, 1 DIFFERENT), 9 known words; 1 texts without" in said[0]
    source = pair_source(corpus.train, shapes(PairEncoderConfig(max_length=3), 2), buckets=1, seed=0, shuffle=False)
    assert source.report["empty_examples"] == source.report["cut_examples"] == 1 and source.steps_per_epoch == 2
    batch = stacked(source, 0, 2, 2)
    assert batch["length"].tolist() == [[[1, 0], [2, 1]], [[3, 1], [0, 0]]]
    assert batch["tokens"][0].tolist() == [[[1, 0, 0], [0, 0, 0]], [[2, 2, 0], [1, 0, 0]]]
    assert batch["score"].tolist() == [[0, 1], [1, -1]] and batch["steps"].tolist() == [[2, 2], [3, 3]]
    assert batch["words"].tolist() == [[1, 3], [4, 0]]
    none = PairExamples([], [], np.zeros(0, np.float32), ())
    with pytest.raises(ValueError, match="no pair"):
        pair_source(none, shapes(PairEncoderConfig(), 2), buckets=1, seed=0, shuffle=False)


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
    tmp_path: Path, quick_compiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(commands.ROOT)
    made_pairs(tmp_path)
    done = command(tmp_path)
    assert done.status == 0, done.err
    run = tmp_path / "run"
    results = json.loads((run / "results.json").read_text())
    names = [row["model"] for row in results["models"]]
    assert names == ["TF-IDF, cosine", "mean of vectors, cosine", "SIF of vectors, cosine", "mean, seed 0"]
    trained = results["models"][-1]
    assert trained["pearson"] > 0.7 and trained["area"] > 0.9 and trained["passes"] < 40
    assert "train.stop_at is reached" in done.err and (run / "pairs.png").is_file()
    kept = json.loads((run / "seed_0" / "result.json").read_text())
    assert kept["heldout_accuracy"] >= 0.9 and kept["steps"] == 6 * kept["passes"]
    # Killed after its last checkpoint, before the result: the same end, and no further step.
    (run / "seed_0" / "result.json").unlink()
    again = command(tmp_path)
    assert again.status == 0 and f"continuing at step {kept['steps']} of {kept['steps']}" in again.err
    assert json.loads((run / "seed_0" / "result.json").read_text())["steps"] == kept["steps"]
    for line in (tmp_path / "train.tsv").read_text().splitlines()[:2]:  # 4 and 1 of 1 to 5
        grade, first, second = line.split("\t")
        said = commands.run("experiments.pairs", f"--workdir={run}", f"--first={first}", f"--second={second}").out
        assert (": SAME; score" if grade == "4" else ": DIFFERENT; score") in said, said


def test_pairs_of_newsgroups_are_the_same_for_a_seed_and_keep_groups_apart(tmp_path: Path) -> None:
    for name in ("train", "test"):
        posts = [
            {"group": f"g{g}", "subject": f"{name} g{g}", "body": f"post\n{i}" if i else ""}
            for i, g in enumerate(np.random.default_rng(0).integers(0, 4, 120).tolist())
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(post) + "\n" for post in posts))
    made = []
    for out in ("one", "two"):
        said = newsgroups.make(str(tmp_path), tmp_path / out, 40, seed=1)
        made.append({f.relative_to(tmp_path / out): f.read_text() for f in sorted((tmp_path / out).rglob("*.tsv"))})
    assert made[0] == made[1] and len(made[0]) == 6
    known = set(said[0].split(": ")[1].split(", "))
    groups: dict[str, set[str]] = {}
    for path, text in made[0].items():
        rows = [line.split("\t") for line in text.splitlines()]
        assert all((a.split()[1] == b.split()[1]) == (label == "SAME") for label, a, b in rows)
        assert {a.split()[0] for _, a, _ in rows} == {"test" if path.name == "test.tsv" else "train"}
        groups[str(path)] = {text.split()[1] for row in rows for text in row[1:]}
    assert groups["unseen/train.tsv"] == known and not groups["unseen/test.tsv"] & known
    assert groups["seen/train.tsv"] == groups["seen/test.tsv"] == {"g0", "g1", "g2", "g3"}
