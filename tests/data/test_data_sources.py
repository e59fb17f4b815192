"""TFDS record files that TFDS itself wrote, and the corpus of docstrings."""

import importlib
import socket
import sys

import pytest

from tests.data.test_slices import everyone
from w2v_jax.config import DataConfig
from w2v_jax.data import pydocs, tfds_source
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.sources import raw_text
from w2v_jax.errors import UserError

BUILDER = """
import tensorflow_datasets as tfds

TEXTS = ["the cat sat\\non the mat", "", "a dog é ran", "the dog sat", "one two"]


class W2vLocalTexts(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), description="For tests.", homepage=""
        )

    def _split_generators(self, dl_manager):
        bad = "bad \\xff".encode("latin-1")
        return {"train": self._generate_examples(TEXTS), "test": self._generate_examples([bad])}

    def _generate_examples(self, texts):
        for i, text in enumerate(texts):
            yield i, {"text": text, "label": i % 2}
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder of record files written by TFDS; the network is cut off for the rest of the module."""
    tfds = pytest.importorskip("tensorflow_datasets")
    root = tmp_path_factory.mktemp("tfds")
    package = root / "code" / "w2v_local_texts"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "builder.py").write_text(BUILDER)
    sys.path.insert(0, str(root / "code"))
    patch = pytest.MonkeyPatch()

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    patch.setattr(socket.socket, "connect", refuse)
    patch.setattr(socket, "getaddrinfo", refuse)
    try:
        module = importlib.import_module("w2v_local_texts.builder")
        patch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)
        builder = module.W2vLocalTexts(data_dir=str(root / "data"))
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        patch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", False)
        yield root / "data"
    finally:
        patch.undo()
        sys.path.remove(str(root / "code"))


@pytest.fixture
def cfg(prepared, tmp_path):
    def make(**changes):
        given = {
            "source": "tfds:w2v_local_texts",
            "data_dir": str(prepared),
            "cache_dir": str(tmp_path / "cache"),
            "min_count": 1,
            "heldout_every": 0,
        }
        return DataConfig(**(given | changes))

    return make


def test_tfds_examples_are_documents(cfg):
    c = build_corpus(cfg())
    text = [
        " ".join(c.vocab.words[t] for t in c.train.tokens[a:b])
        for a, b in zip(c.train.offsets[:-1], c.train.offsets[1:], strict=True)
    ]
    # TFDS orders examples by a hash of their keys; a line break inside an example ends no document.
    assert sorted(text) == ["a dog é ran", "one two", "the cat sat on the mat", "the dog sat"]
    assert c.report["empty_documents"] == 1 and c.report["documents"] == 4
    again = build_corpus(cfg())
    assert again.digest == c.digest
    part = build_corpus(cfg(tfds_split="train[:2]"))
    assert part.report["documents"] + part.report["empty_documents"] == 2 and part.digest != c.digest


def test_several_processes_read_slices_of_the_examples(cfg, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "GROUP", 2)
    monkeypatch.setattr(tfds_source, "_BATCH", 1)
    alone = build_corpus(cfg(cache_dir=str(tmp_path / "alone")))
    for count in (2, 5):
        said: list[str] = []
        there = str(tmp_path / f"{count}")
        found = everyone(count, lambda crew, there=there, said=said: build_corpus(cfg(cache_dir=there), said.append))
        assert [f.digest for f in found] == [alone.digest] * count, found
        assert found[0].train.tokens.tolist() == alone.train.tokens.tolist()
        assert sum("each a slice" in line for line in said) == count
    found = everyone(2, lambda crew: build_corpus(cfg(tfds_split="train[:4]"), said.append))
    assert any("one process reads the text" in line for line in said) and found[0].digest == found[1].digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "tfds:no_such_set"}, "not prepared under .*offline=False"),
        ({"source": "tfds:w2v_local_texts:9.9.9"}, "not prepared"),
        ({"field": "txet"}, "has the features .*did you mean 'text'"),
        ({"field": "label"}, "not text"),
        ({"tfds_split": "valid"}, "no split 'valid', only train, test"),
        ({"tfds_split": "test"}, "example 0 is not UTF-8"),
    ],
)
def test_tfds_errors_are_one_line(cfg, changes, message):
    with pytest.raises(UserError, match=message) as e:
        build_corpus(cfg(**changes))
    assert "\n" not in str(e.value)


DOC = """Compute the mean of the values along an axis.

    The result is a ``float`` when :func:`numpy.sum` says so, see https://example.org for more.

    Parameters
    ----------
    axis : int
        Axis along which the means are computed by default.

    >>> mean([1, 2])
    1.5

    For instance you may write the following lines::

        this is code and it must not be taken for prose

    ====  ====
    a     b
    ====  ====

    ```python
    another block of code that is fenced off here
    ```
    Too short.
"""


def test_prose_keeps_sentences_only():
    assert pydocs.prose(pydocs.ast.parse(f'"""{DOC}"""').body[0].value.value.replace("\n    ", "\n")) == [
        "Compute the mean of the values along an axis.",
        "The result is a float when numpy.sum says so, see for more.",
        "Axis along which the means are computed by default.",
        "For instance you may write the following lines::",
    ]


def test_docstrings_of_every_definition_in_order():
    source = b""""module"
class A:
    "a"
    def f(self):
        "f"
if 1:
    def g():
        "g"
        def h(): "h"
    x = "no docstring"
"""
    assert list(pydocs.docstrings(source)) == ["module", "a", "f", "g", "h"]
    assert list(pydocs.docstrings(b"def broken(:\n")) == []


def test_pydocs_corpus_from_small_packages(tmp_path, monkeypatch):
    root = tmp_path / "pack"
    (root / "tests").mkdir(parents=True)
    (root / "a.py").write_text(
        '"""Reads the whole file into memory.\n\nReturns the number of lines that were read."""\n'
    )
    (root / "b.py").write_text('"""Reads the whole file into memory."""\nraise SystemExit\n')
    (root / "tests" / "c.py").write_text('"""This one lies in a folder of tests."""\n')
    monkeypatch.setattr(pydocs, "roots", lambda: [root])
    cfg = DataConfig(source="pydocs", cache_dir=str(tmp_path / "cache"), min_count=1, heldout_every=0)
    c = build_corpus(cfg)
    assert c.report["documents"] == 2 and c.report["words"] == 14 and c.vocab.words[0] in ("read", "the")
    (root / "b.py").write_text('"""Another file of words to be read."""\n')
    assert build_corpus(cfg).report["documents"] == 3


def test_installed_sources_are_found_without_being_imported():
    before = set(sys.modules)
    names = [name for name, _ in pydocs.source_files()]
    assert len(names) > 500 and any(n.startswith("numpy/") for n in names)
    assert any(n.endswith("/argparse.py") for n in names) and not any("/tests/" in n for n in names)
    assert not {m for m in set(sys.modules) - before if m.split(".")[0] in ("sklearn", "keras", "orbax")}
    assert raw_text(DataConfig(source="pydocs")).size > 10_000_000
