"""What is said of files that are left out or are not what they seem, and of keys that do not fit the text."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from tests.data.corpora import config
from w2v_jax.data.corpus import Corpus, build_corpus
from w2v_jax.data.labelled import read_labelled
from w2v_jax.errors import UserError


def made(folder: Path, source: str, **changes: Any) -> tuple[Corpus, str]:
    """The corpus of files in `folder`, nothing held out, and what was said."""
    said: list[str] = []
    kind, _, name = source.rpartition(":")
    cfg = config(folder, "", source=f"{kind or 'text'}:{folder / name}", **({"heldout_every": 0} | changes))
    return build_corpus(cfg, said.append), "\n".join(said)


def test_files_are_counted_with_what_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "fold/.git").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    for name in ("fold/a.txt", "fold/b.txt", "fold/.hidden", "fold/.git/x", "there/c.txt"):
        (tmp_path / name).write_text("some words\n")
    (tmp_path / "fold/link").symlink_to(tmp_path / "there")
    left = f"warning: corpus: data.source: links to folders are not read: {tmp_path}/fold/link; name them by a glob"
    for _ in range(2):  # also from the cache
        corpus, said = made(tmp_path, "fold")
        assert corpus.train.documents == 2 and left in said
        assert "corpus: data.source: 2 files; 2 hidden files or folders are left out" in said
    corpus, said = made(tmp_path, "fold/*")
    assert corpus.train.documents == 3 and "corpus: data.source: 3 files\n" in said and "links" not in said


@pytest.mark.parametrize(
    ("name", "warned"), [("a.csv", True), ("a.jsonl.gz", True), ("a.HTML", True), ("a.txt", False)]
)
def test_files_of_more_than_text_are_named_by_ending(tmp_path: Path, name: str, warned: bool) -> None:
    content = b"some words\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert (
        f"1 of 1 files end in .{name.split('.')[1].lower()}, and text: reads all" in made(tmp_path, name)[1]
    ) == warned


@pytest.mark.parametrize(
    ("ends", "document", "warned"), [("\r", "line", True), ("\r", "file", False), ("\r\n", "line", False)]
)
def test_a_text_whose_lines_end_in_carriage_returns_but_few(
    tmp_path: Path, ends: str, document: str, warned: bool
) -> None:
    (tmp_path / "t.txt").write_bytes(f"header\n{f'some words{ends}' * 200}".encode())
    said = made(tmp_path, "t.txt", document=document)[1]
    assert ("t.txt: 200 carriage returns end no line, 1 line feeds do; convert them first: tr" in said) == warned


def test_blank_lines_of_records_are_counted_once_and_a_field_is_not_taken_twice(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "some words"}\n\n  \n{"text": "more words"}\n')
    for changes in ({}, {"tokens": "bpe", "max_vocab": 300}):  # which reads twice
        said = made(tmp_path, "jsonl:t.jsonl", **changes)[1]
        assert said.count("t.jsonl: 2 blank lines are skipped") == 1
    (tmp_path / "u.jsonl").write_text('{"label": 1, "text": "some words", "text": "more"}\n')
    for read in (
        lambda: made(tmp_path, "jsonl:u.jsonl"),
        lambda: read_labelled(f"jsonl:{tmp_path}/u.jsonl", config(tmp_path, "")),
    ):
        with pytest.raises(UserError, match="u.jsonl:1: the field 'text' is there twice; delete one of them"):
            read()


@pytest.mark.parametrize("tokens", ["words", "bpe"])
def test_replacement_characters_of_the_text_itself_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: str
) -> None:
    good, bad = "a \ufffd b\n".encode(), b"a \xff b\n"
    (tmp_path / "t.txt").write_bytes(3 * good + 2 * bad + b"a \xef\xbf")
    lines = (b'{"text": "%s"}\n' % line.strip() for line in (good, bad, b"\\ud800 \\ufffd \xef\xbf\xbd"))
    (tmp_path / "t.jsonl").write_bytes(b"".join(lines))
    changes: dict[str, Any] = {"encoding_errors": "replace", "tokens": tokens, "max_vocab": 300}
    for chunk in (1 << 20, 2):  # which cuts characters
        monkeypatch.setattr("w2v_jax.data.sources.CHUNK", chunk)
        assert made(tmp_path, "t.txt", min_count=1 + (chunk < 3), **changes)[0].report["replaced"] == 3
    assert made(tmp_path, "jsonl:t.jsonl", **changes)[0].report["replaced"] == 2


def test_stop_words_are_folded_as_the_text_is(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("The cat sat\n")
    (tmp_path / "stop").write_text("The\nCat\n")
    for tokens in ("letters", "words"):
        corpus, said = made(tmp_path, "t.txt", stop_words=str(tmp_path / "stop"), tokens=tokens)
        assert corpus.vocab.words == ("sat",) and "take nothing out" not in said
    kept = {"stop_words": str(tmp_path / "stop"), "tokens": "letters", "lowercase": False}
    assert made(tmp_path, "t.txt", **kept)[0].vocab.words == ("cat", "sat")


def test_an_end_token_that_is_a_word_is_counted(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("the cat the dog\n\nthe end\n")
    assert "data.end_token='the' is a word of the text too: 3 such words" in made(tmp_path, "t.txt", end_token="the")[1]
    assert "data.end_token" not in made(tmp_path, "t.txt", end_token="<eos>")[1]
