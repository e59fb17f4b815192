"""`train_vectors` on files and iterables: the same vectors as the command's, and its mistakes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from configs import cbow, skipgram
from tests.commands import text_of
from w2v_jax import configure, fit, load, train_documents, train_vectors
from w2v_jax.elsewhere import NAMES
from w2v_jax.errors import Interrupted, UserError
from w2v_jax.quick import RECIPES, written
from w2v_jax.train.console import Console, WarningsOnly, in_notebook
from w2v_jax.train.logs import Progress, Record

SMALL = {
    "dim": 8,
    "segment": 32,
    "batch_size": 128,
    "steps_per_call": 8,
    "passes": 1,
    "min_count": 1,
    "changes": {"mesh.data": 1},
}


@pytest.fixture(autouse=True)
def _cache(fresh_cache: Path) -> None:
    """Token files of these tests only."""


@pytest.mark.parametrize("name", ["skipgram", "cbow"])
def test_the_recipes_are_those_of_the_configs(name: str) -> None:
    ours = configure("word2vec", {"model.architecture": name} | RECIPES[name])
    assert ours == {"skipgram": skipgram, "cbow": cbow}[name].get_config()


def test_a_file_and_tokens_train_the_same_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And those of `fit` with the same settings; a generator is read once."""
    text = text_of(12, lines=60, width=9)
    (tmp_path / "text.txt").write_text(text)
    lines = text.splitlines()
    found = [
        train_vectors(tmp_path / "text.txt", **SMALL, progress=False),
        train_vectors((line.split() for line in lines), tmp_path / "[run]", **SMALL, progress=False),
    ]
    assert capsys.readouterr().err == ""
    parts = {"min_count": "data", "dim": "model", "segment": "model"}
    keys = {f"{parts.get(name, 'train')}.{name}": SMALL[name] for name in SMALL if name != "changes"}
    optimizer = {
        "optimizer.learning_rate": 0.3,
        "optimizer.initial_square": 0.1,
        "data.heldout_every": 0,
        "mesh.data": 1,
    }
    fit(configure("word2vec", keys | optimizer | {"data.source": f"text:{tmp_path}/text.txt"}), tmp_path / "fit")
    assert "step" in capsys.readouterr().err
    found.append(load(tmp_path / "fit"))
    for emb in found:
        assert list(emb.words) == list(found[0].words) and len(emb) == 12
        np.testing.assert_array_equal(emb.vectors, found[0].vectors)
    assert found[0].counts is not None and found[0].counts.sum() == 60 * 9
    again = train_vectors((line.split() for line in lines), tmp_path / "[run]", **SMALL, progress=False)
    np.testing.assert_array_equal(again.vectors, found[0].vectors)  # finished: it is read, not trained


def test_strings_are_cut_and_tokens_are_taken_as_they_are(tmp_path: Path) -> None:
    cut = written(["The King,  ruled\n2024", "é"], tmp_path / "a")
    assert cut == {"data.source": f"text:{tmp_path}/a"} and (tmp_path / "a").read_text() == "The King, ruled 2024\né\n"
    emb = train_vectors([["New_York", "é", "2024"], ["é", "New_York"]] * 20, **SMALL, progress=False)
    assert sorted(emb.words) == ["2024", "New_York", "é"]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ([], {}, "no sentence to train on"),
        (["a b", ["a"]], {}, "sentence 2: is a list, the first is a string"),
        ([["a"], "a b"], {}, "sentence 2: is a str: must be"),
        ([["a", "New York"]], {}, "token 'New York' is empty or has white space"),
        ([["a", 3]], {}, "sentence 1: token 3 is no string"),
        ([7], {}, "sentence 1: is a int: must be"),
        ([b"a b"], {}, "sentence 1: is bytes: must be"),
        ([None, "a"], {}, "sentence 1: is None: must be"),
        (["a b", b"c"], {}, "sentence 2: is bytes, the first"),
        ([["a", "\ud800"]], {}, "sentence 1: '.ud800' is half a character"),
        ([[]] * 3, {}, "no sentence has a word"),
        (["", " "], {}, "no sentence has a word"),
        (b"text.txt", {}, "the text is bytes: give a path as a str"),
        (5, {}, "the text is a int: give a path"),
        ({"a b": "c d"}, {}, "the text is a mapping, .*: give its .values.., or use train_documents"),
        (
            ["a b"],
            {"tokens": str.split},
            "data.tokens=<.*: must be of type str: a rule such as words, or.*python:MODULE",
        ),
        (["a b"], {"stop_words": ["the"]}, "data.stop_words=.'the'.: must be of type str: the name of a file"),
        (["a b"], {"stop_words": {"the"}}, "one word a line"),
        (["a b"], {"vector_size": 5}, "vector_size: is dim here"),
        (["a b"], {"workers": 5}, "workers: is not needed: all cores work"),
        (["a b"], {"min_n": 3}, "min_n: is shortest here"),
        (["a b"], {"source": "text:o.txt"}, "data.source='text:o.txt': names a text, and so does the first argument"),
        ("pydocs", {"changes": {"data.source": "text:o.txt"}}, "data.source='text:o.txt': names a text, and so does"),
        (["a b"], {"dim": 5, "changes": {"model.dim": 9}}, "dim=5 and model.dim=9 of changes are one setting"),
        (["a b"], {"start": "r", "changes": {"train.start": "s"}}, "start='r' and train.start='s' of changes"),
        (["a.txt", "b.txt"] * 9, {}, "'a.txt': a list holds texts, and names of files are none: give one path"),
        ([Path("a.txt")], {}, "sentence 1: is a PosixPath: .* a path is given alone, not in a list"),
        ("the king rules", {}, "'the king rules': no such file or folder; one string is a path, and texts are given"),
        (
            [["a"], ["b"]] * 9,
            {"min_count": 1},
            "no word has a neighbour to learn from; give longer sentences, or raise",
        ),
        ([NamedTuple("Tagged", [("words", list), ("tags", list)])(["a"], ["b"])], {}, "is a Tagged: give .tag: words."),
        ([["a", "b "]], {}, "token 'b ' is empty or has white space"),
        (["a b"], {"start": 5}, "start=5: must be the path of a run folder, or of a file"),
        (["a b"], {"workdir": ""}, "workdir='': must be the path of a folder"),
        (["a b"], {"dmi": 5}, "dmi: no setting of this name .did you mean 'dim'"),
        (["a b"], {"dim": "many"}, "model.dim"),
        (["a b"], {"changes": {"model.dmi": 5}}, "'model.dmi'"),
        ("none.txt", {}, "no such file or folder"),
        (["a b"], {}, "data.min_count=5: no word occurs that often"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text, settings, message) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(UserError, match=message) as caught:
        train_vectors(text, progress=False, **{"changes": {"mesh.data": 1}} | settings)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_start_from_text_that_was_cut_otherwise_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a b c\n" * 20)
    train_vectors(tmp_path / "text.txt", tmp_path / "file", **SMALL, progress=False)
    train_vectors([["a", "b"]] * 20, tmp_path / "lists", **SMALL, progress=False)
    with pytest.raises(UserError, match="start=.*file: that run's .*=words, and lists .*: give the sentences as str"):
        train_vectors([["a", "b"]] * 20, start=tmp_path / "file", **SMALL, progress=False)
    with pytest.raises(UserError, match="start=.*lists: that run's .*=whitespace, as lists .*: give such lists"):
        train_vectors(["a b"] * 20, start=tmp_path / "lists", **SMALL, progress=False)


def test_sentences_of_another_text_are_never_overwritten(tmp_path: Path) -> None:
    one, other = ([["a", "b", word]] * 20 for word in ("c", "d"))
    settings = SMALL | {"dim": np.int64(8)}
    train_vectors(one, tmp_path / "run", **settings, progress=False)
    kept = (tmp_path / "run" / "sentences.txt").read_bytes()
    for text, more in ((other, {}), (one, {"dim": 4}), (other, {"start": tmp_path / "run"})):
        with pytest.raises(UserError, match="workdir"):
            train_vectors(text, tmp_path / "run", **settings | more, progress=False)
        assert (tmp_path / "run" / "sentences.txt").read_bytes() == kept
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "sentences.txt").write_text("My novel.\n")
    with pytest.raises(UserError, match="holds other sentences than the given ones, and stays"):
        train_vectors(one, tmp_path / "mine", **settings, progress=False)
    assert (tmp_path / "mine" / "sentences.txt").read_text() == "My novel.\n"
    (tmp_path / "text.txt").write_text("a b c\n" * 20)
    train_vectors(tmp_path / "text.txt", tmp_path / "file", **settings, progress=False)
    with pytest.raises(UserError, match="holds a run of another text"):
        train_vectors(one, tmp_path / "file", **settings, progress=False)
    assert not (tmp_path / "file" / "sentences.txt").exists()
    for folder in ("new", "run"):  # where no run begins, nothing is left
        with pytest.raises(UserError, match="min_count=99|workdir"):
            train_vectors(one, tmp_path / folder, **settings | {"min_count": 99}, progress=False)
    (tmp_path / "run" / "sentences.txt").unlink()
    train_vectors(one, tmp_path / "run", **settings, progress=False)  # the same again
    (tmp_path / "run" / "sentences.txt").unlink()
    with pytest.raises(UserError, match="has changed since"):
        train_vectors(other, tmp_path / "run", **settings, progress=False)
    assert not (tmp_path / "run" / "sentences.txt").exists()
    train_vectors(one, tmp_path / "run", **settings, progress=False)
    assert not (tmp_path / "new").exists() and (tmp_path / "run" / "sentences.txt").read_bytes() == kept


def test_errors_of_the_given_text_are_the_callers(tmp_path: Path) -> None:
    def lines():
        yield "a line of text"
        raise ConnectionResetError("the peer is gone")

    for call in (train_vectors, train_documents):
        with pytest.raises(ConnectionResetError, match="the peer is gone"):
            call(lines(), tmp_path / call.__name__)


def test_what_has_changed_since_is_named(tmp_path: Path) -> None:
    (tmp_path / "stop").write_text("a\n")
    settings, text = SMALL | {"stop_words": str(tmp_path / "stop")}, ["a b c"] * 20
    train_vectors(text, tmp_path / "run", **settings, progress=False)
    (tmp_path / "stop").write_text("b\n")
    with pytest.raises(UserError, match="the text of .* or the list data.stop_words=.*stop has changed since"):
        train_vectors(text, tmp_path / "run", **settings, progress=False)


@pytest.mark.parametrize("call", [train_vectors, train_documents])
def test_an_interruption_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def stopped(config, folder):
        raise Interrupted(640, signal.SIGINT)

    monkeypatch.setattr("w2v_jax.train.loop.train", stopped)
    with pytest.raises(Interrupted, match="SIGINT at step 640: nothing of it is kept; workdir=FOLDER keeps") as caught:
        call(["a b"] * 9, progress=False, min_count=1)
    assert (caught.value.step, caught.value.number) == (640, 2) and "saved" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(Interrupted, match="at step 640, which is saved$"):
        call(["a b"] * 9, tmp_path / "run", progress=False, min_count=1)


def test_nothing_is_written_to_standard_error_without_progress(tmp_path: Path) -> None:
    code = "from w2v_jax import train_vectors as t; print(t([['a', 'b']] * 99, dim=8, passes=1, progress=False))"
    environ = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("<Embeddings of 2 words, 8 dimensions>\n", "")


class Cell(io.StringIO):
    """What ipykernel puts in the place of standard error."""

    def fileno(self) -> int:
        return 2


Cell.__module__ = "ipykernel.iostream"


def test_warnings_are_written_without_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stop").write_text("zebra\n")
    train_vectors(["a b"] * 20, **SMALL, stop_words=str(tmp_path / "stop"), progress=False)
    assert capsys.readouterr().err.startswith("warning: corpus: data.stop_words")
    stream = io.StringIO()
    with contextlib.redirect_stderr(WarningsOnly(stream)):
        print("step 1", file=sys.stderr)
        sys.stderr.write(warnings.formatwarning("mind this", UserWarning, "a.py", 3, "x = 1"))
    assert stream.getvalue() == "a.py:3: UserWarning: mind this\n  x = 1\n"


def test_hints_name_settings_that_there_are() -> None:
    known = {f.name for family in ("subword", "doc2vec") for f in dataclasses.fields(configure(family).model)}
    known |= {
        f.name
        for part in ("data", "train", "optimizer")
        for f in dataclasses.fields(getattr(configure("subword"), part))
    }
    for name, hint in NAMES.items():
        found = re.match(r"is ([a-z_]+)(?:=| here)", hint)
        assert found is None or found[1] in known | {"start"}, name
        assert name not in known or name == "documents", name


def test_a_bar_in_a_cell_of_a_notebook() -> None:
    cell = Cell()
    stream = Console(cell)
    assert in_notebook(stream) and in_notebook(cell) and not in_notebook(io.StringIO())
    progress = Progress(stream, 100, 1.0, 5.0, lambda: 0.0)
    for step in (25, 100):
        progress.show(Record(step=step, passes=step / 100, loss=1.0))
    first, second = cell.getvalue().split("\r")[1:]
    assert first.startswith("[#####---------------] pass 0.25/1  step 25/100")
    assert second.startswith(f"[{'#' * 20}] pass 1.00/1")
