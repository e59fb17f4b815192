"""Pairs of texts: reading, corpora and batches, and the pairs that are made of newsgroups."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.pairs import newsgroups
from w2v_jax.config import DataConfig
from w2v_jax.data.pair_corpus import PairExamples, build_pair_corpus, pair_source
from w2v_jax.data.pairs import Pair, read_pairs
from w2v_jax.data.pipeline import stacked
from w2v_jax.errors import UserError
from w2v_jax.models.pair_encoder import PairEncoderConfig, shapes


def test_columns_ranges_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "a@b.tsv"
    path.write_text("TRAIN\t1\t4.5\tx\tone dog\ta cat\nTEST\t2\t1\tx\tno\tyes\n")
    graded = DataConfig(labels="1..5")
    assert read_pairs(f"pairs:{path}@3,5,6,1=TRAIN", graded) == [Pair(0.875, "one dog", "a cat", f"{path}:1")]
    assert [pair.score for pair in read_pairs(f"pairs:{path}@3,5,6", graded)] == [0.875, 0.0]
    path.write_text("same\ta\tb\tmore\nDIFFERENT\tc\td\n1\te\tf\n0\tg\th\n")
    assert [pair.score for pair in read_pairs(f"pairs:{path}", DataConfig())] == [1, 0, 1, 0]
    said: list[str] = []
    assert read_pairs(f"pairs:{path}", DataConfig(), said.append)[1] == Pair(0.0, "c", "d", f"{path}:2")
    (warning,) = said
    assert warning.startswith(f"warning: {path}:1 has 4 columns, {path}:2 has 3: a tab inside a text")


def test_pairs_in_json_lines(tmp_path: Path) -> None:
    path, said = tmp_path / "p.jsonl", list[str]()
    rows = [{"label": "SAME", "first": "a\tb", "second": "c\nd"}, {"label": 0, "first": "e", "second": "f"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_pairs(f"pairs:{path}", DataConfig(), said.append)
    assert found == [Pair(1.0, "a\tb", "c\nd", f"{path}:1"), Pair(0.0, "e", "f", f"{path}:2")] and said == []
    path.write_text(json.dumps({"score": 4.5, "a": "x", "b": "y"}))
    cfg = DataConfig(source=f"pairs:{path}", labels="1..5", field="a+b", label_field="score")
    assert read_pairs(cfg.source, cfg) == [Pair(0.875, "x", "y", f"{path}:1")]
    for text, changes, message in (
        ('{"label": 1, "first": "x"}', {}, r"p.jsonl:1: no field 'second' \(data.field\), only 'label', 'first'"),
        (
            '{"label": null, "first": "x", "second": "y"}',
            {},
            r"p.jsonl:1: the label is missing \(null\); give the pair a",
        ),
        ('{"label": NaN, "first": "x", "second": "y"}', {}, r"p.jsonl:1: the label is missing \(NaN\)"),
        ('{"label": true, "first": "x", "second": "y"}', {}, r"p.jsonl:1: field 'label' .* is true; it must be"),
        ('{"label": 0.5, "first": "x", "second": "y"}', {}, r"p.jsonl:1: label '0.5' is none of .* such as 1..5$"),
        ('{"label": "x", "first": "x", "second": "y"}', {"labels": "1..5"}, r"score 'x' .* \(data.labels\)$"),
        ('{"label": 1, "first": "x", "second": " "}', {}, r"p.jsonl:1: the text in field 'second' is empty"),
        ('{"label": 1, "first": "x", "second": 2}', {}, r"field 'second' \(data.field\) is a number, not a string"),
        ("{}", {"field": "a"}, "data.field='a': a pair has two texts; name two fields"),
        ("{}", {"source": f"pairs:{path}@1,2,3"}, "p.jsonl: JSON Lines have no columns; leave the @ out"),
    ):
        path.write_text(text + "\n")
        cfg = DataConfig(**{"source": f"pairs:{path}"} | changes)
        with pytest.raises(UserError, match=message):
            read_pairs(cfg.source, cfg)
    path.write_text("".join(f'{{"label": {i % 2}.0, "a": "x", "b": "y"}}\n' for i in range(20)))
    cfg = DataConfig(source=f"pairs:{tmp_path}/p.j*", field="a+b", min_count=1)
    assert build_pair_corpus(cfg).train.documents == 18, "the file's name decides, and not that of the glob"
    (tmp_path / "p.tsv").write_text("1\tx\ty\n")
    with pytest.raises(UserError, match=r"data.field='a\+b': has no effect on pairs of texts without fields"):
        build_pair_corpus(DataConfig(source=f"pairs:{tmp_path}/p.tsv", field="a+b"))


@pytest.mark.parametrize(
    ("text", "source", "labels", "message"),
    [
        ("SAME\ta\n", "", "binary", r"p.tsv:1: has 2 columns, and column 3 is needed"),
        ("SAME\ta\tb\n1\t \tb\n", "", "binary", r"p.tsv:2: the text in column 2 is empty"),
        (" \ta\tb\n", "", "binary", r"p.tsv:1: the label is missing; give the pair a label"),
        ("SAEM\ta\tb\n", "", "binary", r"p.tsv:1: label 'SAEM' is none of SAME, DIFFERENT, 1, 0"),
        ("3.5\ta\tb\n", "", "binary", r"p.tsv:1: label '3.5'.* data.labels to their range"),
        ("label\ta\tb\n", "", "binary", r"p.tsv:1: label 'label'.*; delete the line if it is a header$"),
        ("score\ta\tb\n", "", "1..5", r"p.tsv:1: score 'score' .*; delete the line if it is a header$"),
        ("1\ta\tb\nscore\ta\tb\n", "", "1..5", r"p.tsv:2: score 'score' .* \(data.labels\)$"),
        ("5.5\ta\tb\n", "", "1..5", r"p.tsv:1: score '5.5' is no number from 1 to 5 \(data.labels\)$"),
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
    assert corpus.train.wordless == 1 and "; 1 texts without" in said[0]
    told = "3 pairs (2 SAME, 1 DIFFERENT), 9 known words, 2 more (18.2%) outside the vocabulary are dropped"
    assert told in said[0] and corpus.report["train_oov_words"] == 2
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


# ---- newsgroups ----


def test_pairs_of_newsgroups_are_the_same_for_a_seed_and_keep_groups_apart(tmp_path: Path) -> None:
    for name in ("train", "test"):
        posts = [
            {"group": f"g{g}", "subject": f"{name} g{g}", "body": f"post\n{i}" if i else ""}
            for i, g in enumerate(np.random.default_rng(0).integers(0, 4, 120).tolist())
        ]
        empty = json.dumps({"group": "g0", "subject": "", "body": "  "})
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(post) + "\n" for post in posts) + empty)
    made = []
    for out in ("one", "two"):
        said = newsgroups.make(str(tmp_path), tmp_path / out, 40, seed=1)
        made.append({f.relative_to(tmp_path / out): f.read_text() for f in sorted((tmp_path / out).rglob("*.tsv"))})
    assert made[0] == made[1] and len(made[0]) == 6
    assert said[1] == "left out, as they have no word: 1 posts of the training file, 1 of the test file"
    known = set(said[0].split(": ")[1].split(", "))
    groups: dict[str, set[str]] = {}
    for path, text in made[0].items():
        rows = [line.split("\t") for line in text.splitlines()]
        assert all((a.split()[1] == b.split()[1]) == (label == "SAME") for label, a, b in rows)
        assert {a.split()[0] for _, a, _ in rows} == {"test" if path.name == "test.tsv" else "train"}
        groups[str(path)] = {text.split()[1] for row in rows for text in row[1:]}
    assert groups["unseen/train.tsv"] == known and not groups["unseen/test.tsv"] & known
    assert groups["seen/train.tsv"] == groups["seen/test.tsv"] == {"g0", "g1", "g2", "g3"}
