"""`train_vectors` on files and iterables: the same vectors as the command's, and its mistakes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from configs import cbow, skipgram
from tests.commands import text_of
from w2v_jax import configure, fit, load, train_vectors
from w2v_jax.errors import UserError
from w2v_jax.quick import RECIPES, written
from w2v_jax.train.console import Console, in_notebook
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


class Cell(io.StringIO):
    """What ipykernel puts in the place of standard error."""

    def fileno(self) -> int:
        return 2


Cell.__module__ = "ipykernel.iostream"


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
