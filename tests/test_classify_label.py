"""Kept classifiers of `experiments.classify`: new texts get what the comparison said of the same texts."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments.classify import digests, features, kept, label
from experiments.classify.texts import Texts
from tests import commands
from tests.test_classify import KINDS, PLAIN, posts
from w2v_jax.config import Config, DataConfig
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.evaluation.linear_model import Classifier, Scale
from w2v_jax.evaluation.softmax import Solution
from w2v_jax.models import MODELS
from w2v_jax.train.restore import Model
from w2v_jax.types import Words

METHODS = ("counts", "shares", "tfidf", "bm25", "lsa", "lda", "mean of eye.txt")
Files = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """(folder of a comparison, test texts, vectors)."""
    home = tmp_path_factory.mktemp("label")
    for name, count in (("train", 150), ("test", 60)):
        (home / f"{name}.jsonl").write_text("".join(json.dumps(post) + "\n" for post in posts(count, count)))
    save(Embeddings([w for kind in KINDS.values() for w in kind], np.eye(9, dtype=np.float32)), home / "eye.txt")
    done = commands.run(
        *("experiments.classify", f"--config={commands.ROOT}/configs/classify_newsgroups.py", f"--workdir={home}/out"),
        *(f"--{name}=jsonl:{home}/{name}.jsonl" for name in ("train", "test")),
        *("--config.data.field=body", "--config.model.dim=4", "--config.model.sweeps=2", "--config.data.min_count=2"),
        *("--lda.model.topics=4", "--lda.model.sweeps=2", f"--vectors={home}/eye.txt"),
        f"--methods={','.join(METHODS[:-1])}",
    )
    assert done.status == 0, done.err
    return home / "out", home / "test.jsonl", home / "eye.txt"


def rows_of(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def of_command(out: Path, *words: str) -> commands.Done:
    return commands.run("experiments.classify", f"--workdir={out}", *words)


@pytest.mark.parametrize("method", METHODS)
def test_a_kept_classifier_says_what_the_comparison_said(method: str, files: Files, tmp_path: Path) -> None:
    """Labels and probabilities of the same texts, by the file of predictions; they sum to 1."""
    out, test, _ = files
    file = tmp_path / "new" / "labels.tsv"
    done = of_command(out, f"--texts=jsonl:{test}", f"--method={method}", f"--out={file}")
    assert done.status == 0 and not done.out, done.err
    head, *found = rows_of(file.read_text())
    assert head == ["label", "p(food)", "p(space)", "p(sport)", "known_words", "text"]
    said = rows_of((out / f"predictions_{method.replace(' ', '_')}.tsv").read_text())[1:]
    assert [row[0] for row in found] == [row[2] for row in said]
    assert [max(row[1:4]) for row in found] == [row[3] for row in said]
    assert all(abs(sum(map(float, row[1:4])) - 1) < 2e-6 for row in found)
    assert [row[-1] for row in found] == [post["body"] for post in posts(60, 60)]
    assert "outside the vocabulary are dropped" in done.err and "1 texts without a known word" in done.err
    lines = "".join(post["body"] + "\n" for post in posts(60, 60))  # one of them is blank
    (tmp_path / "new.txt").write_text(lines)
    done = of_command(out, f"--texts=text:{tmp_path}/new.txt", f"--method={method}")
    assert done.out == file.read_text()


def test_texts_of_the_command_line_and_the_best_method(files: Files) -> None:
    out = files[0]
    done = of_command(out, "--text=the moon zzzz\norbit", "--text=qqqq", "--text=bread zzzz")
    assert done.status == 0, done.err
    head, *found = rows_of(done.out)
    assert [row[0] for row in (found[0], found[2])] == ["space", "food"] and len(found) == 3
    assert [row[-2:] for row in found] == [["3", "the moon zzzz orbit"], ["0", "qqqq"], ["1", "bread zzzz"]]
    assert done.err.count("not in the vocabulary, left out: zzzz") == 1 and "1 texts without a known word" in done.err
    rows: list[dict[str, Any]] = [
        {"method": name, "strength": 3.0, "heldout": {"1": 0.9, "3": share}}
        for name, share in (("a", 0.5), ("b", 0.7), ("c", 0.7))
    ]
    told: list[str] = []
    assert label.row_of(rows, None, told.append)["method"] == "b" and label.row_of(rows, "a", print)["method"] == "a"
    assert told == ["method: b, 70.00% of the held-out texts, the best of the comparison there"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text= "], "--text is empty: give a text"),
        (["--text=qqqq", "--method=bm25"], "--text: bm25 knows no word of it; give another text, or another --method"),
        (["--text=moon", "--texts=text:x"], "--text, --texts: give one of the two"),
        (
            ["--text=moon", "--method=bm52"],
            "--method=bm52: was not compared; choose of counts.*did you mean 'bm25'",
        ),
        (["--text=moon", "--train=tsv:x"], "--train: is for a comparison, not for new texts; leave it out"),
        (["--text=moon", "--config.data.field=x"], "--config: is for a comparison, not for new texts; leave it out"),
        (["--text=moon", "--field=body"], "--text, --field: a text of the command line has no fields; leave --field"),
        (["--texts=tsv:x"], "--texts=tsv:x: names no texts without labels; they are text:GLOB"),
        (["--texts=text:none.txt"], "--texts: none.txt: no such file"),
        (["--texts=jsonl:{test}", "--field=boddy"], r"no field 'boddy' \(--field\), only 'group', 'body'"),
        (["--out=labels.tsv"], "--out: is for new texts; give them in --text or --texts, or leave it out"),
    ],
)
def test_what_is_refused(words: list[str], message: str, files: Files) -> None:
    out, test, _ = files
    before = sorted(out.iterdir())
    done = of_command(out, *(word.replace("{test}", str(test)) for word in words))
    commands.refused(done, message, alone=False)
    assert sorted(out.iterdir()) == before and not done.out


def test_a_data_set_is_where_the_comparison_read_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataConfig(data_dir=str(tmp_path), tfds_split="valid", encoding_errors="replace")
    with pytest.raises(UserError, match=f"tfds:none is not prepared under {tmp_path}: prepare it there$"):
        list(label._texts_of_flags(None, "tfds:none", None, data))
    with pytest.raises(UserError, match="prepare it there, or set TFDS_DATA_DIR$"):
        list(label._texts_of_flags(None, "tfds:none", None, DataConfig()))
    seen: list[DataConfig] = []
    monkeypatch.setattr(label, "raw_text", lambda cfg: seen.append(cfg) or tmp_path.none)
    with pytest.raises(AttributeError):
        list(label._texts_of_flags(None, "tfds:none", None, data))
    assert (seen[0].data_dir, seen[0].tfds_split, seen[0].encoding_errors) == (str(tmp_path), "valid", "replace")


def test_files_that_changed_are_refused(files: Files, tmp_path: Path) -> None:
    out, _, vectors = files
    texts = json.loads((out / "results.json").read_text())["texts_sha256"]
    commands.refused(of_command(tmp_path, "--text=moon"), "holds no comparison; make one with --train first")
    whole = vectors.read_text()
    words = ["--text=moon", "--method=mean of eye.txt"]
    for change, message in ((vectors.unlink, "not there; "), (partial(vectors.write_text, "x 1"), "has changed since")):
        change()
        commands.refused(of_command(out, *words), f"{message}.*restore it, or name another --method", alone=False)
    vectors.write_text(whole)
    assert of_command(out, *words).status == 0
    (tmp_path / "classifier_tfidf.npz").write_bytes((out / "classifier_tfidf.npz").read_bytes()[:-40])
    (tmp_path / "classifier_bm25.npz").write_bytes((out / "classifier_bm25.npz").read_bytes())
    for method, of, message in (
        ("tfidf", texts, "damaged, or no classifier"),
        ("bm25", "other", "was fitted to other texts than those of results.json"),
        ("lsa", texts, "no such file; the command of the comparison makes it again"),
    ):
        with pytest.raises(UserError, match=f"classifier_{method}.npz: {message}"):
            kept.read(tmp_path, method, of)
    arrays = kept.read(out, "tfidf", texts).arrays
    with pytest.raises(UserError, match="has changed since the classifier was fitted; restore it"):
        kept.tokenizer_of(DataConfig(lowercase=False), arrays)


def test_states_of_a_run_are_those_of_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right one of the two rows that a run gives; the run's digest is asked for."""
    spec, words = MODELS["recurrent_lm"], (*PLAIN, "<eos>")
    vocab = Vocabulary(words, np.arange(9, 1, -1))
    cfg = spec.resolve(spec.examples[0], len(words))
    consts = spec.consts(cfg, Words(vocab.words, vocab.counts))
    params = spec.trained.init(jax.random.key(0), cfg, consts)
    tokenizer = Tokenizer.of(DataConfig(end_token="<eos>"), vocab, None)
    model = Model(spec, Config("recurrent_lm", cfg), cfg, params, consts, tokenizer, 0)
    test = ["the was it", " ".join(PLAIN)]
    texts = Texts(("a", "b"), ["it"], np.zeros(1), np.zeros(1, bool), True, test, np.zeros(2))
    monkeypatch.setattr(label, "open_model", lambda folder: model)
    monkeypatch.setattr(digests, "of_run", lambda folder: "1")
    settings: dict[str, Any] = {"run": ".", "max_tokens": 5, "sha256": "1"}
    nothing = kept.Kept(Classifier(Scale(1.0), Solution(np.zeros(0), np.zeros(0), 0, True)), {})  # a run needs no array
    for made in features.of_run("run", model, texts, 5):
        row: dict[str, Any] = {"method": made.method, "task": "run", "settings": settings}
        found = label.made_of(row, nothing, DataConfig(), test)
        np.testing.assert_allclose(found.rows, made.test, atol=2e-6)
        assert found.note == "1 texts are cut after 5 tokens"
        with pytest.raises(UserError, match="has changed since run, .* state was fitted"):
            label.made_of(row | {"settings": settings | {"sha256": "2"}}, nothing, DataConfig(), test)
