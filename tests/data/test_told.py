"""Warnings about a corpus that may not be what was meant, and texts in files that are not what they seem."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.data.corpora import config
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.labelled import read_labelled
from w2v_jax.errors import UserError
from w2v_jax.tables import read_lines


def said(folder: Path, text: str, **changes: Any) -> list[str]:
    (folder / "t.txt").write_text(text)
    lines: list[str] = []
    build_corpus(config(folder, folder / "t.txt", **changes), lines.append)
    return [line for line in lines if "held out:" in line or "data.stop_words=" in line or " occur in the" in line]


@pytest.mark.parametrize(("documents", "every", "warned"), [(9, 10, True), (10, 10, False), (9, 0, False)])
def test_a_text_of_too_few_documents_to_hold_one_out(tmp_path: Path, documents: int, every: int, warned: bool) -> None:
    lines = [line for line in said(tmp_path, "a b\n" * documents, heldout_every=every) if "warning" in line]
    assert bool(lines) == warned
    assert all("data.heldout_every=10 holds out every 10th document, and 9 have known words" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "tokens", "told"),
    [("the\nof\n", "words", "1 of 2"), ("the, of\n", "words", "0 of 1"), ("don't\nthe\n", "letters", "1 of 2")],
)
def test_stop_words_that_occur_are_counted(tmp_path: Path, words: str, tokens: str, told: str) -> None:
    (tmp_path / "stop").write_text(words)
    options = {"stop_words": str(tmp_path / "stop"), "tokens": tokens, "heldout_every": 0}
    lines = said(tmp_path, "the cat don't\n", **options)
    assert f"corpus: {told} stop words occur in the text" in lines
    warned = [line for line in lines if "none of its words occurs in the text" in line]
    assert bool(warned) == told.startswith("0")
    assert said(tmp_path, "the cat don't\n", **options) == lines  # from the cache


def test_files_of_an_archive_have_no_marks_and_are_one_document(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.ZIP", "w") as archive:
        for name in "abc":
            archive.writestr(name, f"\ufeff{name} word")
    found = build_corpus(config(tmp_path, tmp_path / "t.ZIP", tokens="whitespace", heldout_every=0))
    assert found.vocab.words == ("word", "a", "b", "c") and found.train.documents == 3
    with pytest.raises(UserError, match="one document.*the files in a .zip are one; set data.document=line"):
        build_corpus(config(tmp_path, tmp_path / "t.ZIP", document="file"))
    data = bytearray((tmp_path / "t.ZIP").read_bytes())
    for mark, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.index(mark) + at] = 9  # Deflate64
    (tmp_path / "other.zip").write_bytes(data)
    with pytest.raises(UserError, match="other.zip: holds a file that is packed in a way that is not read"):
        build_corpus(config(tmp_path, tmp_path / "other.zip"))


def test_endings_are_known_in_capitals_and_utf_16_is_named(tmp_path: Path) -> None:
    (tmp_path / "A.TXT.GZ").write_bytes(gzip.compress(b"one two\n"))
    assert build_corpus(config(tmp_path, tmp_path / "A.TXT.GZ", heldout_every=0)).vocab.words == ("one", "two")
    (tmp_path / "u.tsv").write_text("1\tgood\n0\tbad\n", encoding="utf-16")
    for errors in ("strict", "replace"):
        cfg = config(tmp_path, tmp_path / "u.tsv", encoding_errors=errors)
        for read in (lambda: build_corpus(cfg), lambda: read_labelled(f"tsv:{tmp_path}/u.tsv", cfg)):  # noqa: B023
            with pytest.raises(UserError, match="u.tsv: is UTF-16; convert it first: iconv"):
                read()
    with pytest.raises(UserError, match="u.tsv: is UTF-16"):
        list(read_lines(tmp_path / "u.tsv"))
