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


def warnings(folder: Path, text: str, **changes: Any) -> list[str]:
    (folder / "t.txt").write_text(text)
    lines: list[str] = []
    build_corpus(config(folder, folder / "t.txt", **{"heldout_every": 0, **changes}), lines.append)
    return [line for line in lines if line.startswith("warning")]


def test_stop_words_that_are_cut_otherwise_are_named(tmp_path: Path) -> None:
    (tmp_path / "stop").write_text("# mine\nThe,\nthe\nthe_cat\ne-mail\nof\n")
    options = {"stop_words": str(tmp_path / "stop")}
    (line,) = warnings(tmp_path, "the cat don't\n", **options)
    assert "'# mine', 'e-mail', 'the,', 'the_cat': no word of a text cut by data.tokens=words" in line
    (line,) = warnings(tmp_path, "the cat don't\n", **options, phrases=1)
    assert "'# mine', 'e-mail', 'the,': no word" in line  # joined words may have it
    (line,) = warnings(tmp_path, "the cat don't\n", **options, tokens="whitespace")
    assert "stop: '# mine': no word" in line


def test_further_texts_without_a_known_word_and_byte_pairs_that_end_early_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "u.txt").write_text("qq zz\n")
    for key, what in (("heldout", "nothing is held out"), ("test", "there is no text for the test")):
        (line,) = warnings(tmp_path, "a b\n" * 5, **{f"{key}_source": f"text:{tmp_path}/u.txt"})
        assert f"{what}: data.{key}_source=text:{tmp_path}/u.txt has no word of the vocabulary" in line
    (line,) = warnings(tmp_path, "ab ab\n" * 5, tokens="bpe", max_vocab=300)
    assert "byte pairs, not data.max_vocab=300" in line
    assert not warnings(tmp_path, "ab ab\n" * 5, tokens="bpe", max_vocab=257)


def test_rare_characters_are_counted_in_characters(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("aaab aac\n")
    lines: list[str] = []
    options = {"tokens": "characters", "max_vocab": 2, "heldout_every": 0}
    build_corpus(config(tmp_path, tmp_path / "t.txt", **options), lines.append)
    assert any("2 characters (25.0%)" in line for line in lines)  # b and c of eight


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens_limit": 2, "heldout_every": 2}, "data.tokens_limit=2: the text up to there is one document"),
        ({"tokens_limit": 2, "heldout_every": 0, "min_count": 3}, "lower it or raise data.tokens_limit=2"),
        ({"min_count": 300, "heldout_every": 0}, "lower it or give more text"),
        ({"unknown": "error", "skip_top": 1}, "'a' is not in .* or change data.skip_top$"),
        ({"unknown": "error", "min_count": 50}, "'b' is not in .* or change data.min_count or data.max_vocab$"),
        ({"unknown": "error", "stop_words": "stop"}, "'b' is not in .* or change data.stop_words$"),
    ],
)
def test_a_refused_text_names_the_key_that_made_it_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stop").write_text("b\n")
    with pytest.raises(UserError, match=message):
        warnings(tmp_path, "a b\n" + "a a\n" * 40, **options)


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
