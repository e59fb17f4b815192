"""The package from Python: the examples of docs/python.md as they stand, and its errors."""

from __future__ import annotations

import contextlib
import errno
import io
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import w2v_jax as w2v
from tests import commands
from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError

DOC = commands.ROOT / "docs" / "python.md"


def test_the_examples_of_the_documentation_run(
    tmp_path: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 7
    monkeypatch.chdir(tmp_path)
    Path("corpus").mkdir()
    names = np.array([*"abcdefghij", "king", "queen", "the", "cat", "dog"])
    drawn = np.random.default_rng(0).choice(names, (300, 20))
    Path("corpus/text.txt").write_text("".join(" ".join(line) + "\n" for line in drawn))
    out = io.StringIO()
    globals_of: dict[str, object] = {}
    with contextlib.redirect_stdout(out):
        for number, block in enumerate(blocks):
            small = block.replace('"model.dim": 100', '"model.dim": 5').replace("dim=100, passes=5", "dim=5, passes=1")
            Path("example.py").write_text(small)
            globals_of = runpy.run_path("example.py", globals_of)
            if number == 1:
                assert isinstance(globals_of["emb"], Embeddings) and Path("runs/mine/result.json").is_file()
            if number == 2:
                assert "True True" in out.getvalue()
            if number == 3:
                assert globals_of["words"].vectors.shape == (15, 5)
                assert globals_of["words"].counts.sum() == 297 * 20  # every hundredth line is held out
    cosines = np.array(re.findall(r"\d\.\d*", out.getvalue().rpartition("]]")[0].rpartition("[[")[2]), float)
    assert cosines.shape == (9,) and cosines[0] == pytest.approx(1.0) and 0 < cosines[1] < 1
    assert "(3, 5)" in out.getvalue()
    assert "('word vectors', 'window mean', 'weighted window mean')" in out.getvalue()


def test_counts_of_a_worked_example() -> None:
    """dog, cat, feline, canine, pet in one book: (2, 1, 0, 0, 1)."""
    counts, words = w2v.count(["The dog saw a dog and a cat, each a pet."])
    found = dict(zip(words, counts.toarray()[0].tolist(), strict=True))
    assert [found.get(word, 0) for word in ("dog", "cat", "feline", "canine", "pet")] == [2, 1, 0, 0, 1]
    mixed = (text for text in ("the king", ["The", "king", "king"]))  # read once
    counts, words = w2v.count(mixed)
    assert words == ("king", "The", "the") and counts.toarray().tolist() == [[1, 0, 1], [2, 1, 0]]


def test_errors_of_the_system_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of folders below a file and names that are too long, as a superuser may do all else; and of a file of mode 0."""
    (tmp_path / "file").write_text("")
    emb, below = Embeddings(["a"], np.ones((1, 2), np.float32)), tmp_path / "file" / "run"
    save_to = tmp_path / f"{'x' * 300}.bin"
    config = w2v.configure("lsa", {"data.source": f"text:{tmp_path}/text.txt"})
    (tmp_path / "text.txt").write_text("a b a b\n" * 9)
    for call, path in (
        (lambda: w2v.train_vectors(["a b"] * 9, below, min_count=1, progress=False), below),
        (lambda: w2v.train_documents(["a b"] * 9, below, min_count=1, progress=False), below),
        (lambda: w2v.fit(config, below), below),
        (lambda: w2v.save(emb, save_to), save_to),
    ):
        with pytest.raises(UserError, match=re.escape(f"{path}") + "[^:]*: ") as caught:
            call()
        assert isinstance(caught.value.__cause__, OSError) and "\n" not in str(caught.value)
    w2v.save(emb, tmp_path / "a.bin")

    def refused(path: str, *_: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("w2v_jax.formats.reading.open", refused, raising=False)
    with pytest.raises(UserError, match="a.bin: permission denied: choose another path or change") as caught:
        w2v.load(tmp_path / "a.bin")
    assert isinstance(caught.value.__cause__, PermissionError)


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    for call, message in (
        (lambda: w2v.configure("lsaa"), "family='lsaa': must be one of .*did you mean 'lsa'"),
        (lambda: w2v.configure("lsa", {"model.dmi": 3}), "no key 'model.dmi' .*'model.dim'"),
        (lambda: w2v.load(tmp_path / "none.bin"), "none.bin: no such file"),
        (lambda: w2v.open_run(tmp_path), "holds no run"),
        (lambda: w2v.load(None), "path=None: must be the path of a run folder or a file"),
        (lambda: w2v.open_run(None), "workdir=None: must be the path of a folder"),
        (lambda: w2v.load_documents(None), "workdir=None: must be the path of a folder"),
        (lambda: w2v.save(Embeddings(["a"], np.ones((1, 2))), None), "path=None: must be the path of a file"),
        (lambda: w2v.save([1], tmp_path / "a.bin"), "emb is of type list: must be vectors of words.*Embeddings.kv.ind"),
        (lambda: w2v.evaluate([1]), "words is of type list: must be vectors"),
        (lambda: w2v.evaluate(Embeddings(["a"], np.ones((1, 2))), 3), "data_dir=3: must be the path of a folder"),
        (lambda: w2v.evaluate(Embeddings(["a"], np.ones((1, 2))), restrict=None), "restrict=None: must be a whole"),
        (lambda: w2v.count("the king"), "texts='the king': is one text; give a list of texts"),
        (lambda: w2v.count({"a": "the king"}), "texts is a mapping, .*: give its .values"),
        (lambda: w2v.count(["the king", None]), r"texts\[1\]=None: must be a string or a list of tokens"),
        (lambda: w2v.documents(None, "the king"), "texts='the king': is one text"),
        (lambda: w2v.count([]), "no word of the 0 texts occurs data.min_count=1 times"),
    ):
        with pytest.raises(UserError, match=message):
            call()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        w2v.nothing  # noqa: B018
    assert set(w2v.__all__) <= set(dir(w2v))
