"""The comparison of ways to represent texts as a command; `test_classify_features` has the features and the tables."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.classify import SAME, compared, joined
from experiments.classify import digests
from experiments.common.labels import label_of
from tests import commands
from w2v_jax.config import DataConfig
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.figures import methods

KINDS = {"sport": ("ball", "team", "goal"), "space": ("moon", "orbit", "star"), "food": ("bread", "salt", "milk")}
PLAIN = ("the", "a", "was", "very", "and", "of", "it")


def posts(count: int, seed: int) -> list[dict[str, str]]:
    """Records of three groups: four words of ten are of the group, one of another."""
    rng = np.random.default_rng(seed)
    out = []
    for group in rng.choice(list(KINDS), count):
        other = str(rng.choice(list(KINDS)))
        words = [*rng.choice(KINDS[str(group)], 4), rng.choice(KINDS[other]), *rng.choice(PLAIN, 5)]
        out.append({"group": str(group), "body": " ".join(map(str, rng.permutation(words)))})
    out[3]["body"] = ""
    return out


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    for name, count in (("train", 150), ("test", 60)):
        lines = [json.dumps(post) + "\n" for post in posts(count, count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    named = {"field": "body", "label_field": "group", "labels": "named", "min_count": 2}
    return DataConfig(source=f"jsonl:{tmp_path}/train.jsonl", test_source=f"jsonl:{tmp_path}/test.jsonl", **named)


# ---- the command ----


def command(data: DataConfig, workdir: Path, *more: str) -> commands.Done:
    config = f"--config={commands.ROOT}/configs/classify_newsgroups.py"
    named = {"train": data.source, "test": data.test_source, "workdir": workdir, "config.data.field": "body"}
    small = {"config.model.dim": 4, "config.model.sweeps": 2, "config.data.min_count": 2}
    return commands.run("experiments.classify", config, *(f"--{k}={v}" for k, v in (named | small).items()), *more)


def test_the_command(data: DataConfig, tmp_path: Path, fresh_cache: Path) -> None:
    words = [w for kind in KINDS.values() for w in kind]
    save(Embeddings(words, np.eye(9, dtype=np.float32)), tmp_path / "eye.txt")
    done = command(
        data, tmp_path / "out", "--methods=tfidf,lsa,lda", "--lda.model.topics=4", f"--vectors={tmp_path}/eye.txt"
    )
    assert done.status == 0, done.err
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["labels"] == ["food", "space", "sport"] and results["test_texts"] == 60
    rows: list[dict[str, Any]] = results["methods"]
    often = Counter(post["group"] for post in posts(150, 150)).most_common(1)[0][0]
    assert [row["method"] for row in rows] == ["tfidf", "lsa", "lda", "mean of eye.txt"]
    assert [row["dimensions"] for row in rows] == [16, 4, 4, 9]
    for row in rows:
        confusion = np.array(row["confusion"])
        assert confusion.sum() == 60 and row["accuracy"] == np.trace(confusion) / 60 > 0.85
        assert (f"{row['accuracy']:.2%} ± {row['error']:.2%}" if row["error"] else "100.00% (93.98% to 100") in done.out
    assert results["majority"] == np.mean([post["group"] == often for post in posts(60, 60)])
    beside = results["paired"]["methods"]
    assert results["paired"]["best"] not in beside and len(beside) == 3
    best = next(row for row in rows if row["method"] == results["paired"]["best"])
    for row in rows:
        if (one := beside.get(row["method"])) is not None:
            assert one["better"] - one["worse"] == round(60 * (best["accuracy"] - row["accuracy"]))
    assert " more (" in done.err and "outside the vocabulary are dropped; 1 training and 1 test texts with" in done.err
    assert "each label by " in done.out and done.out.count("sport") == 1
    for row in rows:
        file = tmp_path / f"out/predictions_{row['method'].replace(' ', '_')}.tsv"
        head, *lines = [line.split("\t") for line in file.read_text().splitlines()]
        assert head == ["line", "label", "predicted", "probability"]
        assert [line[0] for line in lines] == [f"{tmp_path}/test.jsonl:{i}" for i in range(1, 61)]
        assert [line[1] for line in lines] == [post["group"] for post in posts(60, 60)]
        assert sum(line[1] == line[2] for line in lines) == np.trace(np.array(row["confusion"]))
        assert all(1 / 3 <= float(line[3]) <= 1 for line in lines)
    assert (tmp_path / "out/methods.png").read_bytes().startswith(b"\x89PNG")
    beside = compared(results, print)
    assert [row["method"] for row in beside] == ["tfidf", "lsa", "lda"]
    for row, ours in zip(beside, rows, strict=False):
        points = 100.0 * (ours["accuracy"] - row["scikit_learn"]["accuracy"])
        assert row["points_above"] == pytest.approx(points) and abs(points) < 5
    assert "1 to train on and 1 to score are empty" in done.err
    # A part is compared again. The peers of others are those of before; that of LDA while our accuracy is still that.
    before = [row | {"scikit_learn": {"accuracy": 0.5}} for row in beside]
    again = compared(results, print, ("tfidf",), [before[1] | {"accuracy": 0.1}, before[2] | {"accuracy": 0.1}])
    assert [row["method"] for row in again] == ["tfidf", "lsa"] and again[1]["scikit_learn"] == {"accuracy": 0.5}
    assert again[0]["scikit_learn"]["accuracy"] == beside[0]["scikit_learn"]["accuracy"] > 0.5
    assert again[1]["points_above"] == 100.0 * (rows[1]["accuracy"] - 0.5)
    assert [row["scikit_learn"] for row in compared(results, print, (), before)] == [{"accuracy": 0.5}] * 3
    # The same command with other methods adds theirs; a finished row is not made with other settings.
    done = command(data, tmp_path / "out", "--methods=tfidf,shares")
    assert done.status == 0 and "tfidf: in " in done.err and "lsa: " not in done.err
    more = json.loads((tmp_path / "out/results.json").read_text())
    assert more["methods"][:4] == rows and [row["method"] for row in more["methods"][4:]] == ["shares"]
    assert more["configs"] == results["configs"] and "mean of eye.txt" in done.out
    for change, name in (("--config.model.dim=3", "lsa"), ("--config.data.min_count=1", "data")):
        done = command(data, tmp_path / "out", "--methods=lsa,lda", "--lda.model.topics=4", change)
        assert done.status == 2 and f"out/results.json: holds results of other settings ({name})" in done.err


def test_results_of_other_texts_vectors_or_versions_are_refused(data: DataConfig, tmp_path: Path) -> None:
    """Texts, labels and vectors may change while numbers of texts, names of labels and paths stay."""
    save(Embeddings(["ball"], np.ones((1, 2), np.float32)), tmp_path / "v.txt")
    out, args = tmp_path / "out", ("--methods=counts", f"--vectors={tmp_path}/v.txt")
    done = command(data, out, *args)
    assert done.status == 0, done.err
    advice = "; choose another --workdir"
    results = json.loads((out / "results.json").read_text())
    for name in ("train", "test"):
        file = tmp_path / f"{name}.jsonl"
        whole = file.read_text()
        swapped = whole.replace('"sport"', '"x"', 1).replace('"food"', '"sport"', 1).replace('"x"', '"food"', 1)
        for changed in (whole.replace("very", "quite", 1), swapped):
            assert changed != whole
            file.write_text(changed)
            commands.refused(command(data, out, *args), f"results of other texts .*{advice}", alone=False)
            with pytest.raises(UserError, match="the texts have changed since they were classified"):
                compared(results, print, ["none"])
        file.write_text(whole)
    table = out / "predictions_counts.tsv"
    before = table.read_text()
    table.unlink()
    again = command(data, out, *args).err
    assert "counts: in " in again and "its predictions or its classifier are gone; it is made again" in again
    assert "mean of v.txt: in " in again and again.count("made again") == 1 and table.read_text() == before
    made = json.loads((out / "results.json").read_text())["methods"]
    assert [row["method"] for row in made] == ["counts", "mean of v.txt"]
    other = command(data, out, *args, "--encoding_errors=replace")
    commands.refused(other, f"other settings .mean of v.txt.{advice}", alone=False)
    save(Embeddings(["ball"], np.full((1, 2), 3.0, np.float32)), tmp_path / "v.txt")
    commands.refused(command(data, out, *args), f"other settings .mean of v.txt.{advice}", alone=False)
    del results["texts_sha256"]
    (out / "results.json").write_text(json.dumps(results))
    commands.refused(command(data, out, *args), f"other settings .an earlier version.{advice}", alone=False)


def test_a_run_that_was_trained_again_has_another_digest(tmp_path: Path) -> None:
    found = {digests.of_run(tmp_path)}
    for name in ("config.json", "result.json", "metrics.jsonl", "checkpoints/7/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
        found.add(digests.of_run(tmp_path))
    (tmp_path / "result.json").write_text('{"loss": 1}')
    assert len(found | {digests.of_run(tmp_path)}) == 6


def test_all_files_of_vectors_are_in_their_digest(tmp_path: Path) -> None:
    found = {digests.of_vectors(tmp_path / "none")}
    for name in ("v.npy", "v.vocab.txt"):
        (tmp_path / name).write_text("a")
        found |= {digests.of_vectors(tmp_path / "v.npy"), digests.of_vectors(tmp_path)}
    assert len(found) == 4


def test_results_of_one_set_of_texts_are_joined(tmp_path: Path) -> None:
    one = dict.fromkeys(SAME, 1) | {"methods": [{"method": "tfidf"}], "configs": {"lsa": 1}}
    parts = (one, one | {"methods": [{"method": "lda"}], "configs": {"lda": 2}}, one | {"test_share": 2})
    for name, part in zip("abc", parts, strict=True):
        (tmp_path / name).write_text(json.dumps(part))
    a, b, c = (str(tmp_path / name) for name in "abc")
    whole = joined([a, b])
    assert [row["method"] for row in whole["methods"]] == ["tfidf", "lda"] and whole["configs"] == {"lsa": 1, "lda": 2}
    with pytest.raises(UserError, match="c: is of other texts than .*a;"):
        joined([a, c])
    for change, message in (({digests.TEXTS: 2}, "c: is of other texts"), ({}, "c: has no texts_sha256, .* again")):
        (tmp_path / "c").write_text(json.dumps({k: v for k, v in one.items() if k != digests.TEXTS} | change))
        with pytest.raises(UserError, match=message):
            joined([a, c])


def test_what_scikit_learn_found_is_kept_for_the_same_texts(data: DataConfig, tmp_path: Path) -> None:
    assert command(data, tmp_path / "out", "--methods=counts").status == 0
    out, ours = tmp_path / "beside.json", f"--ours={tmp_path}/out/results.json"

    def kept() -> dict[str, Any]:
        done = commands.run("benchmarks.classify", ours, f"--out={out}", "--methods=none", "--tolerance=100")
        assert done.status == 0, done.err
        return dict(json.loads(out.read_text()))

    first = kept()
    row = first["ours"][0]
    beside = {key: row[key] for key in ("method", "dimensions", "accuracy")} | {
        "scikit_learn": {"accuracy": 0.5, "seconds_features": 0.0, "seconds_fit": 0.0}
    }
    for texts, rows in (
        (first["texts"], 1),
        (first["texts"] | {digests.TEXTS: "0"}, 0),
        ({key: value for key, value in first["texts"].items() if key != digests.TEXTS}, 0),
    ):
        out.write_text(json.dumps(first | {"texts": texts, "beside": [beside]}))
        assert len(kept()["beside"]) == rows


@pytest.mark.parametrize(("labels", "name"), [("named", "spam"), ("as_is", "label 1"), ("binary", "positive")])
def test_a_trained_classifier_says_the_name_of_a_label(labels: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"corpus": {"labels": ["ham", "spam"]}}')
    model: Any = SimpleNamespace(config=SimpleNamespace(data=DataConfig(labels=labels)))
    assert label_of(model, tmp_path, 1) == name


def test_the_picture_shows_the_table(tmp_path: Path) -> None:
    rows = [
        {"method": "_a$", "dimensions": 9, "accuracy": 0.8, "error": 0.01, "seconds_features": 0.0, "seconds_fit": 2.0},
        {"method": "b", "dimensions": 1, "accuracy": 0.9, "error": 0.02, "seconds_features": 3.0, "seconds_fit": 0.5},
    ]
    shown = methods.draw(rows, 0.5, tmp_path / "methods.png", source="made up")
    np.testing.assert_allclose(shown, [[80, 2, 0, 2], [90, 4, 3, 0.5]])


def test_bad_input(data: DataConfig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for more, message in (
        (("--methods=tfid",), "--methods='tfid': .*did you mean 'tfidf'"),
        (("--methods=",), "--methods is empty"),
        (("--test_share=1",), "--test_share=1.0: must be above 0 and below 1"),
        (
            ("--config.model.dim=999", "--methods=lsa"),
            "lsa: model.dim=999 is more than the 16 words of the .*; give --config.model.dim=16, or leave lsa out of",
        ),
        (
            ("--lda.model.topics=999", "--methods=lda"),
            "lda: model.topics=999 is more than the 149 training texts with .*; give --lda.model.topics=50,",
        ),
        (("--config.data.label_field=grup",), "train.jsonl:1: no field 'grup' .*did you mean 'group'"),
        (("--config.data.min_count=9999",), "data.min_count=9999: no word"),
        (("--methods=", f"--vectors={tmp_path}/none.bin"), "none.bin: no such file"),
        (("--methods=", f"--run={tmp_path}"), "holds no run"),
        (("--methods=", "--vectors=x/v.txt", "--vectors=y/v.txt"), "writes predictions_mean_of_v.txt.tsv, too"),
        (("--methods=tfidf", "--run=tfidf=x"), "tfidf: another of .*write NAME=PATH"),
    ):
        commands.refused(command(data, out, *more), message, alone=False)
    done = command(data, out, "--methods=counts,lsa", "--config.model.dim=999")
    assert done.status == 2 and "counts: " not in done.err, "sizes are checked before the first method"
    for flag in ("--train", "--heldout", "--test", "--config.data.source"):
        given = [f"--workdir={out}", *([] if "source" in flag or flag == "--train" else [f"--train={data.source}"])]
        for source in ("text:x",) if "source" in flag else ("text:x", f"{tmp_path}/train.jsonl"):
            done = commands.run("experiments.classify", *given, f"{flag}={source}")
            commands.refused(done, f"{flag}={source}: has no labels that are read; labelled texts are tsv:GLOB, jsonl:")
    commands.refused(commands.run("experiments.classify", f"--workdir={out}"), "--train is missing: give labelled")
    (tmp_path / "one.jsonl").write_text('{"group": "a", "body": "one"}\n' * 9)
    one = DataConfig(source=f"jsonl:{tmp_path}/one.jsonl")
    commands.refused(command(one, out), "is left to fit; give texts of two labels at least", alone=False)
    save(Embeddings(["zebra"], np.ones((1, 2), np.float32)), tmp_path / "zebra.txt")
    done = command(data, out, "--methods=", f"--vectors={tmp_path}/zebra.txt")
    commands.refused(done, "zebra.txt: has a vector for none of the words", alone=False)
    skipgram = commands.run("experiments.classify", f"--config={commands.ROOT}/configs/skipgram.py", f"--workdir={out}")
    commands.refused(skipgram, "family word2vec is not fitted here; it must be lsa")
    assert not out.exists()
