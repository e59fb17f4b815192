"""Texts that are odd but can be read, and bounds on those that are made to fill the memory."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.corpora import config
from w2v_jax import files
from w2v_jax.config import DataConfig
from w2v_jax.data import bpe
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.labelled import read_labelled
from w2v_jax.embeddings import load
from w2v_jax.errors import UserError


def words_of(folder: Path, path: Path, **changes: Any) -> tuple[str, ...]:
    return tuple(build_corpus(config(folder, path, **({"heldout_every": 0} | changes))).vocab.words)


def test_carriage_returns_are_white_space_where_a_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "mac.txt").write_bytes(b"one two\rthree\r")
    assert words_of(tmp_path, tmp_path / "mac.txt", document="file") == ("one", "three", "two")
    for document in ("line", "blank"):
        with pytest.raises(
            UserError, match=r"mac.txt: its lines end in carriage returns alone; convert .*tr '\\r' '\\n'"
        ):
            words_of(tmp_path, tmp_path / "mac.txt", document=document)
    (tmp_path / "windows.txt").write_bytes(b"one two\r\nthree\r\n")
    assert words_of(tmp_path, tmp_path / "windows.txt") == ("one", "three", "two")
    (tmp_path / "last.txt").write_bytes(b"one two\r")
    assert words_of(tmp_path, tmp_path / "last.txt") == ("one", "two")


def test_a_file_whose_name_is_not_utf_8_is_read_and_cached(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("one two\n")
    said: list[str] = []
    assert words_of(tmp_path, folder) == ("one", "two")
    build_corpus(config(tmp_path, folder, heldout_every=0), said.append)
    assert any("cached in" in line for line in said)


def test_caches_behind_links(tmp_path: Path) -> None:
    """A link is followed; one that stands for a damaged entry is replaced, and what it names is left alone."""
    (tmp_path / "t.txt").write_text("one two\n")
    (tmp_path / "there").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "there")
    first = build_corpus(config(tmp_path, tmp_path / "t.txt", heldout_every=0))
    assert (tmp_path / "there" / "index").is_dir()
    other = tmp_path / "other"
    first.directory.rename(other)
    (other / "meta.json").write_text("[" * 200_000)
    first.directory.symlink_to(other)
    said: list[str] = []
    again = build_corpus(config(tmp_path, tmp_path / "t.txt", heldout_every=0), said.append)
    assert any("nested too deep" in line for line in said)
    assert again.vocab.words == first.vocab.words and not again.directory.is_symlink() and other.is_dir()


LINES = b"word word word word word word word\n" * 40_000
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "t.txt.gz": gzip.compress,
    "t.txt.xz": lzma.compress,
    "t.tsv.gz": lambda lines: gzip.compress(lines.replace(b"word", b"1\tw", 1).replace(b"\nword", b"\n1\tw")),
    "t.vec.gz": lambda lines: gzip.compress(b"word 1\n" * 200_000),
}


@pytest.mark.parametrize("name", PACKED)
def test_what_unpacks_without_end_is_bounded_and_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than 100 times the packed size is refused, once it is more than a free amount."""
    path = tmp_path / name
    path.write_bytes(PACKED[name](LINES))

    def read() -> None:
        if ".vec" in name:
            load(path)
        elif ".tsv" in name:
            read_labelled(f"tsv:{path}", DataConfig())
        else:
            words_of(tmp_path, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "FREE_BYTES", 1 << 16)
        with pytest.raises(UserError, match=f"{name}: unpacks to more than .* if that is meant, unpack it"):
            read()
    if ".vec" not in name:  # which is one word 200,000 times
        read()


def test_long_words_are_cut_before_byte_pairs_are_made(tmp_path: Path) -> None:
    text = f"a bc  {'x' * 9000}\n\t{'yz' * 2048} end"
    parts, long = bpe.cut_words(text)
    assert "".join(parts) == text and long == 1
    assert [len(part) for part in parts] == [6 + 4096, 4096, len(text) - 6 - 8192]
    assert bpe.cut_words("short " * 2000) == (["short " * 2000], 0)
    (tmp_path / "t.txt").write_text(f"{text}\nand and and\n")
    said: list[str] = []
    build_corpus(config(tmp_path, tmp_path / "t.txt", tokens="bpe", max_vocab=260, heldout_every=0), said.append)
    assert "corpus: 1 words of more than 4,096 characters were cut for making bpe tokens" in said
