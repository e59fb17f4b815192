"""Features of texts against scikit-learn, and what is told and shown of texts and rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import sentiment
from experiments.classify import features, report
from experiments.classify.digests import TEXTS
from experiments.classify.rows import finished
from experiments.classify.texts import Texts, bags, read
from experiments.common import shares
from experiments.pairs import report as pairs_report
from tests import commands
from tests.test_classify import PLAIN
from tests.test_classify import data as data  # a fixture
from w2v_jax.config import Config, DataConfig
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train.restore import Model
from w2v_jax.types import Words

# ---- features ----


def test_counts_and_tfidf_are_those_of_scikit_learn(data: DataConfig) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    texts = read(data, 0.2, print)
    found = bags(data, texts)
    counter = text.CountVectorizer(vocabulary=found.vocab.words, token_pattern=r"\w+")
    ours, tfidf = features.counted("counts", found), features.counted("tfidf", found)
    transformer = text.TfidfTransformer().fit(counter.transform(texts.train))
    for part, made, weighted in ((texts.train, ours.train, tfidf.train), (texts.test, ours.test, tfidf.test)):
        counts = counter.transform(part)
        assert (made != counts).nnz == 0
        np.testing.assert_allclose(weighted.toarray(), transformer.transform(counts).toarray(), atol=1e-6)
    shares = features.counted("shares", found).train
    np.testing.assert_allclose(np.unique(np.round(shares.sum(1), 5)), [0, 1])  # the empty text stays empty


def test_equal_texts_are_on_one_side(tmp_path: Path) -> None:
    lines = [f"{'ham' if i % 3 else 'spam'}\tword{i % 70} text" for i in range(400)]
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
    said: list[str] = []
    texts = read(DataConfig(source=f"tsv:{tmp_path}/t.tsv", labels="named"), 0.2, said.append)
    parts = [set(texts.test), {t for t, h in zip(texts.train, texts.held, strict=True) if h}]
    parts.append({t for t, h in zip(texts.train, texts.held, strict=True) if not h})
    assert [len(part) for part in parts] == [14, 6, 50] and len(set.union(*parts)) == 70
    assert len(texts.test) + len(texts.train) == 400 and "equal texts are on one side" in said[0]


def test_test_texts_of_the_training_texts_are_counted(tmp_path: Path) -> None:
    train = [f"{'ham' if i % 3 else 'spam'}\tword{i}" for i in range(40)]
    (tmp_path / "train.tsv").write_text("\n".join([*train, "ham\t "]) + "\n")
    (tmp_path / "test.tsv").write_text("ham\tword0\nspam\tnew\n\nspam\tword3\nham\t \n")
    said: list[str] = []
    data = DataConfig(source=f"tsv:{tmp_path}/train.tsv", test_source=f"tsv:{tmp_path}/test.tsv", labels="named")
    texts = read(data, 0.2, said.append)
    assert "texts: 2 test texts stand in the training texts too" in said
    assert [Path(place).name for place in texts.test_places] == [f"test.tsv:{i}" for i in (1, 2, 4, 5)]
    said.clear()
    apart = read(DataConfig(source=f"tsv:{tmp_path}/train.tsv", labels="named"), 0.2, said.append)
    assert not any("too" in line for line in said)
    lines = (tmp_path / "train.tsv").read_text().split("\n")
    at = [int(place.rpartition(":")[2]) for place in apart.test_places]
    assert [lines[i - 1].partition("\t")[2] for i in at] == apart.test


def test_texts_that_stand_twice_and_rare_labels_are_told(tmp_path: Path) -> None:
    train = [f"{'ham' if i % 3 else 'spam'}\tword{i}" for i in range(20)]
    (tmp_path / "train.tsv").write_text("\n".join([*train, "ham\tword1", "spam\tword1", "eggs\tnew"]) + "\n")
    (tmp_path / "held.tsv").write_text("ham\tword1\n" * 2 + "ham\tother\n")
    (tmp_path / "test.tsv").write_text("spam\tword2\nham\tword4\n")
    sources = {key: f"tsv:{tmp_path}/{name}.tsv" for key, name in (("source", "train"), ("heldout_source", "held"))}
    said: list[str] = []
    read(DataConfig(labels="named", test_source=f"tsv:{tmp_path}/test.tsv", **sources), 0.2, said.append)
    for line in (
        "texts: to train on by label: eggs (1), ham (17), spam (8)",
        "texts: 4 to train on repeat another one of them, character for character; they are kept",
        "texts: 2 of those that choose C are fitted, too: copies of them stand in data.source",
        "texts: 2 test texts stand in the training texts too",
        "texts: 2 texts have different labels in different places, character for character the same",
        "warning: 1 of 3 labels have one text alone to train on: eggs",
        "warning: the texts that choose C all have label ham; give more texts, or --heldout",
    ):
        assert line in said
    said.clear()
    read(DataConfig(labels="named", source=sources["source"]), 0.2, said.append)
    assert not any("copies" in line for line in said), "held out are whole groups of equal texts"


def test_rows_that_say_little_are_told(tmp_path: Path) -> None:
    row = {"dimensions": 2, "macro_f1": 0.5, "seconds_features": 0.0, "seconds_fit": 0.0, "converged": True}
    first = row | {"method": "a", "accuracy": 1.0, "error": 0.0, "strength": 1e5, "confusion": [[2, 0], [0, 2]]}
    other = row | {"method": "b", "accuracy": 0.5, "error": 0.25, "strength": 3.0, "confusion": [[2, 0], [2, 0]]}
    results = {"methods": [first, other], "labels": ["ham", "spam"], "test_texts": 4, "majority": 0.5}
    texts = Texts(("ham", "spam"), [], np.zeros(0), np.zeros(0, bool), True, list("abcd"), np.array([0, 0, 1, 1]))
    for name, given in (("a", [0, 0, 1, 1]), ("b", [0, 0, 0, 0])):
        report.write_predictions(tmp_path, name, texts, np.eye(2)[given])
    results["paired"] = report.against_best(tmp_path, results)
    assert results["paired"] == {"best": "a", "methods": {"b": {"better": 2, "worse": 0, "p": 0.5}}}
    lines = report.table(results).splitlines()
    assert "100.00% (51.01% to 100.00%)" in lines[1] and "50.00% ± 25.00%  0.5" in lines[2]
    assert lines[-2:] == [
        "C is the largest that is tried, and further ones may be better: a",
        "warning: b gives every test text one label, ham",
    ]
    assert "± one standard error (in brackets, where it is 0: the 95 % interval); always the most" in report.table(
        results
    )
    (tmp_path / "predictions_b.tsv").unlink()
    assert not report.against_best(tmp_path, results)["methods"]


def test_tables_have_one_form_of_a_share_without_a_standard_error() -> None:
    cut = {"heldout": {"cut_examples": 0, "examples": 4, "cut_share": 0.0}}
    found = {"model": "a", "threshold": 0.5, "accuracy": 1.0, "area": None, "pairs": 4}
    pairs = {"models": [found], "majority": {"kind": "SAME", "accuracy": 0.5}, "cut": cut, "max_length": 9}
    pairs |= {"also_in_training": {"heldout": 0}, "corpus": {"heldout_wordless": 0}}
    row = {"model": "a", "parameters": 1, "heldout_accuracy": 1.0, "test_accuracy": 1.0, "test_macro_f1": 1.0}
    row |= {"confusion": [[2, 0], [0, 2]], "seconds": 1.0}
    vectors = dict.fromkeys(("sha256_before", "sha256_after"), "0")
    ladder = {"models": [row], "majority": 0.5, "cut": cut, "max_length": 9, "vectors": vectors}
    ladder |= {"corpus": {"labels": ["0", "1"]}}
    for text in (pairs_report.table(pairs), sentiment.table(ladder)):
        assert "100.00% (51.01% to 100.00%)" in text and "(in brackets, where it is 0: the 95 % interval)" in text
    assert "; always the most frequent label of training: 50.00%" in sentiment.table(ladder)
    assert shares.told(0.8, 25, 1, "") == "80.0 ± 8.0" and shares.about([0.5]) == "± one standard error"


def test_rows_of_earlier_versions_get_their_interval(tmp_path: Path) -> None:
    about = {TEXTS: "digest", "test_texts": 4}
    row = {"method": "a", "task": "a", "settings": {}, "accuracy": 1.0}
    (tmp_path / "r.json").write_text(json.dumps(about | {"methods": [row, row | {"interval": [0.5, 1.0]}]}))
    first, second = finished(tmp_path / "r.json", about, {})
    assert first == row | {"interval": pytest.approx((0.5101, 1.0), abs=1e-4)} and second["interval"] == [0.5, 1.0]


def test_the_line_that_makes_json_lines_of_a_table(tmp_path: Path) -> None:
    lines = (commands.ROOT / "docs" / "classify.md").read_text(encoding="utf-8").splitlines()
    recipe = next(line for line in lines if line.startswith("python -c 'import csv"))
    (tmp_path / "texts.csv").write_text(f'label,text\nham,"one ""two""\nthree"\nspam,{"x" * 200_000}\nham,\nham\n')
    subprocess.run(recipe.replace("python", sys.executable, 1), shell=True, check=True, cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ['one "two"\nthree', "x" * 200_000, "", None]
    with pytest.raises(
        UserError, match=r"texts.jsonl:4: field 'text' \(data.field\) is missing \(null\), not a string"
    ):
        read(DataConfig(source=f"jsonl:{tmp_path}/texts.jsonl", labels="named"), 0.2, print)


def test_labels_without_texts_and_many_labels_are_shown(tmp_path: Path) -> None:
    confusion = np.diag(np.arange(45)[::-1]).tolist()
    row = {"method": "tfidf", "accuracy": 0.5, "confusion": confusion}
    worse = row | {"method": "lsa", "accuracy": 0.4}
    lines = report.labels({"methods": [worse, row], "labels": [f"l{i}" for i in range(45)]}).splitlines()
    assert "each label by tfidf" in lines[0] and len(lines) == 2 + report.CLASSES + 1
    assert lines[2].split() == ["l0", "1.0000", "1.0000", "1.0000", "44"] and lines[-1].startswith("5 labels of fewer")
    lines = report.labels({"methods": [row | {"confusion": [[2, 0], [0, 0]]}], "labels": ["a", "b"]}).splitlines()
    assert lines[-1].split() == ["b", "-", "-", "-", "0"]
    texts = Texts(("a", "b"), [], np.zeros(0), np.zeros(0, bool), True, ["t"], np.zeros(1, int), ["a\tb\udce9.tsv:7"])
    report.write_predictions(tmp_path / "new", "LSTM, last state", texts, np.array([[0.25, 0.75]]))
    text = (tmp_path / "new/predictions_LSTM_last_state.tsv").read_text()
    assert text.splitlines()[1] == "a b?.tsv:7\ta\tb\t0.750000"


@pytest.fixture
def quick_compiles() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("family", ["recurrent_lm", "recurrent_classifier"])
@pytest.mark.usefixtures("quick_compiles")
def test_states_are_those_of_each_text_alone(family: str) -> None:
    """Against `Family.encode` on one text without padding; texts are cut, and one without a word gets zeros."""
    spec, words = MODELS[family], (*PLAIN, "<eos>")
    vocab = Vocabulary(words, np.arange(9, 1, -1))
    rules = DataConfig(end_token="<eos>")
    cfg = spec.resolve(spec.examples[0], len(words))
    consts = spec.consts(cfg, Words(vocab.words, vocab.counts))
    params = spec.trained.init(jax.random.key(0), cfg, consts)
    model = Model(spec, Config(family, cfg), cfg, params, consts, Tokenizer.of(rules, vocab, None), 0)
    texts = Texts(("a", "b"), ["", " ".join(PLAIN), "it"], np.zeros(3), np.zeros(3, bool), True, ["of"], np.zeros(1))
    mean, last = features.of_run("run", model, texts, 5)
    assert "1 texts are cut after 5 tokens" in mean.note and last.method == "run, last state"
    assert not mean.train[0].any() and not last.train[0].any()
    for i, ids in ((1, [0, 1, 2, 3, 4]), (2, [6])):
        whole = jnp.array([([7] if family == "recurrent_lm" else []) + ids])  # a language model begins after <eos>
        alone = jax.jit(partial(spec.encode.states, cfg))(params, consts, whole, jnp.array([whole.shape[1]]))[-1]
        kept = np.asarray(alone, np.float32)[0, -len(ids) :]
        np.testing.assert_allclose(mean.train[i], kept.mean(0), atol=2e-6)
        np.testing.assert_allclose(last.train[i], kept[-1], atol=2e-6)
