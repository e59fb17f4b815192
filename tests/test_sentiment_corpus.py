"""The labelled corpus, the scores and the picture of the ladder of classifiers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_sentiment import files as files  # a fixture
from w2v_jax.config import DataConfig
from w2v_jax.data.labelled_corpus import build_labelled_corpus
from w2v_jax.errors import UserError
from w2v_jax.evaluation.classification import classification
from w2v_jax.figures import ladder

# ---- the corpus ----


def test_the_vocabulary_is_counted_or_given(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("1\tA b a, C!\n" + "0\tb b unknown\n" * 9)
    (tmp_path / "test.tsv").write_text("0\tnew a\n")
    cfg = DataConfig(source=f"tsv:{path}", test_source=f"tsv:{tmp_path / 'test.tsv'}", min_count=2)
    counted = build_labelled_corpus(cfg, 2)
    assert (counted.train.documents, counted.heldout.documents, counted.test.documents) == (9, 1, 1)
    assert set(counted.vocab.words) <= {"a", "b", "unknown"} and counted.vocab.words[0] == "b"
    said: list[str] = []
    given = build_labelled_corpus(cfg, 2, ["new", "b", "a"], said.append)
    outside = given.report["train_oov_words"] + given.report["heldout_oov_words"]
    assert outside == 1 + 9 and given.report["test_oov_words"] == 0  # c and unknown
    assert any("2 known words, 0 more (0.0%) outside the vocabulary are dropped" in line for line in said)
    assert given.vocab.words == ("new", "b", "a") and given.vocab.counts[0] == 0
    assert given.test.ids[0].tolist() == [0, 2] and given.test.labels.tolist() == [0]
    texts = [[given.vocab.words[i] for i in ids] for ids in given.train.ids + given.heldout.ids]
    assert sorted(map(tuple, texts)) == sorted([("a", "b", "a")] + [("b", "b")] * 9)
    assert given.tokenizer.encode("B, a?").tolist() == [1, 2]
    assert build_labelled_corpus(cfg, 2, ["new", "b", "a"]).digest == given.digest != counted.digest
    (tmp_path / "test.tsv").write_text("1\tnew a\n")
    assert build_labelled_corpus(cfg, 2, ["new", "b", "a"]).digest != given.digest


def test_a_held_out_file_leaves_the_training_texts_whole(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("4\tvery good\n0\tvery bad\n2\tso so\n")
    (tmp_path / "dev.tsv").write_text("1\tbad\n")
    cfg = DataConfig(
        source=f"tsv:{tmp_path}/train.tsv", heldout_source=f"tsv:{tmp_path}/dev.tsv", labels="sst2", min_count=1
    )
    corpus = build_labelled_corpus(cfg, 2)
    assert corpus.train.labels.tolist() == [1, 0] and corpus.heldout.labels.tolist() == [0]
    five = build_labelled_corpus(dataclasses.replace(cfg, labels="as_is"), 5)
    assert five.train.labels.tolist() == [4, 0, 2] and corpus.test.documents == 0


@pytest.mark.parametrize(
    ("change", "classes", "message"),
    [
        ({"source": "text:x"}, 2, "needs labelled texts: tsv:GLOB, jsonl:GLOB or tfds:NAME"),
        ({"tokens": "characters"}, 2, "data.tokens='characters'"),
        ({"end_token": "<eos>"}, 2, "data.end_token='<eos>'"),
        ({}, 3, "model.classes=3: data.labels=binary makes 2"),
        ({"min_count": 999}, 2, "data.min_count=999: no word"),
        ({"heldout_every": 20}, 2, "data.heldout_every=20: has no effect on labelled texts.* leave it at 100"),
        ({"document": "file"}, 2, "data.document='file': .* leave it at 'line'"),
        ({"block_tokens": 99}, 2, "data.block_tokens=99: .* leave it at 16384"),
        ({"field": "sentence"}, 2, "data.field='sentence': has no effect without fields .* leave it at 'text'"),
    ],
)
def test_what_a_labelled_corpus_refuses(
    files: dict[str, str], change: dict[str, Any], classes: int, message: str
) -> None:
    cfg = dataclasses.replace(DataConfig(source=files["train"]), **change)
    with pytest.raises(UserError, match=message):
        build_labelled_corpus(cfg, classes)


def test_texts_that_stand_on_both_sides_are_counted(tmp_path: Path) -> None:
    """Empty ones do not count; the tenth is drawn by line, whatever the texts."""
    (tmp_path / "train.tsv").write_text("".join(f"{i % 2}\tsame words\n" for i in range(19)) + "0\t \n")
    (tmp_path / "test.tsv").write_text("1\tsame words\n0\tsame word\n0\t \n1\tsame words\n")
    said: list[str] = []
    cfg = DataConfig(source=f"tsv:{tmp_path}/train.tsv", test_source=f"tsv:{tmp_path}/test.tsv", min_count=1)
    report = build_labelled_corpus(cfg, 2, (), said.append).report
    held = report["heldout_repeated"]
    assert (held, report["test_repeated"]) == (2 - report["heldout_empty"], 2) and held > 0
    assert f"corpus: heldout: {held} of its 2 texts stand in the training texts too" in said
    assert "corpus: test: 2 of its 4 texts stand in the training or held-out texts too" in said


# ---- scores ----


def test_scores_by_hand() -> None:
    chances = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.5, 0.5]], np.float32)
    scores = classification(chances, np.array([0, 1, 1, 0]))
    assert scores.confusion.tolist() == [[2, 0], [1, 1]] and scores.accuracy == 0.75
    assert scores.error == pytest.approx(np.sqrt(0.75 * 0.25 / 4))
    assert scores.loss == pytest.approx(-np.log([0.9, 0.6, 0.2, 0.5]).mean())
    with pytest.raises(ValueError, match="do not fit"):
        classification(chances, np.array([0, 1, 2, 0]))


def test_the_picture_shows_the_table(tmp_path: Path) -> None:
    rows = [
        {"model": "average", "parameters": 202, "heldout_accuracy": 0.8, "test_accuracy": 0.81, "test_error": 0.01},
        {"model": "_x$", "parameters": 9, "heldout_accuracy": 0.9, "test_accuracy": 0.88, "test_error": 0.005},
    ]
    shown = ladder.draw(rows, 0.5, tmp_path / "ladder.png", "made up")
    np.testing.assert_allclose(shown, [[81, 2, 80], [88, 1, 90]])
    assert (tmp_path / "ladder.png").read_bytes().startswith(b"\x89PNG")
