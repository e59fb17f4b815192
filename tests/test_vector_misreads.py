"""Files of word vectors that would be read as others: words with blanks, wrong headers, other encodings, what is cut
or lost."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.commands import run
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError

MISREAD = "a blank in the word before, another dimension than the header's, or not float32"


def rows(seed: int, dim: int = 20, count: int = 60) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, dim)) * 0.1).astype(np.float32)


def written(vectors: np.ndarray, end: bytes, odd: bytes = b"w9", dim: int = 0) -> bytes:
    words = [odd if i == 9 else b"w%d" % i for i in range(len(vectors))]
    records = [word + b" " + row.tobytes() + end for word, row in zip(words, vectors, strict=True)]
    return b"%d %d\n" % (len(vectors), dim or vectors.shape[1]) + b"".join(records)


@pytest.mark.parametrize("errors", ["strict", "replace"])
@pytest.mark.parametrize("case", ["vitamin c", "float64", "narrow", "wide"])
def test_a_binary_file_that_is_read_wrongly_is_refused(tmp_path: Path, case: str, errors: str) -> None:
    path = tmp_path / "v.bin"
    for seed in range(12):
        vectors = rows(seed)
        path.write_bytes(
            written(vectors, b"\n", b"vitamin c")
            if case == "vitamin c"
            else written(vectors.astype("<f8"), b"\n")
            if case == "float64"
            else written(vectors, b"\n", dim=18 if case == "narrow" else 23)
        )
        with warnings.catch_warnings(), pytest.raises(UserError) as caught:
            warnings.simplefilter("ignore")
            load(path, binary=True, encoding_errors=errors)
        assert MISREAD in str(caught.value) or "header's 60 words" in str(caught.value)


def test_numbers_that_no_training_makes_are_told(tmp_path: Path) -> None:
    vectors = np.zeros((3, 2), np.float32)
    vectors[1, 1] = 1e20
    (tmp_path / "v.bin").write_bytes(written(vectors, b""))
    with pytest.warns(UserWarning, match=r"vector of 'w1' has a number above 1e\+15: a blank"):
        assert len(load(tmp_path / "v.bin", binary=True)) == 3


def test_a_wrong_dimension_is_seen_beside_a_phrase(tmp_path: Path) -> None:
    vectors = rows(0, 8, 30)
    words = [*map("w{}".format, range(29)), "new york"]
    lines = [f"{word} {' '.join(f'{x:.4f}' for x in row)}" for word, row in zip(words, vectors, strict=True)]
    (tmp_path / "v.txt").write_text("30 5\n" + "\n".join(lines) + "\n")
    with pytest.raises(UserError, match="line 2: more than 5 numbers in 30 of 30 lines, but 5 were expected"):
        load(tmp_path / "v.txt")
    (tmp_path / "v.txt").write_text("3 1\nToy Story 2 1\narea 51 2\nwindows 3.1 3\n")
    assert list(load(tmp_path / "v.txt").words) == ["Toy Story 2", "area 51", "windows 3.1"]


@pytest.mark.parametrize("header", ["", "2 2\n"])
def test_a_last_line_without_an_end_is_told(tmp_path: Path, header: str) -> None:
    (tmp_path / "v.txt").write_text(f"{header}a 1 2\nb 3 4.12")
    with pytest.warns(UserWarning, match=rf"v.txt: line {3 if header else 2}: the last line has no line end"):
        load(tmp_path / "v.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path / "v.txt", limit=1)


@pytest.mark.parametrize("header", ["", "2 2\n"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_characters_are_named(tmp_path: Path, header: str, encoding: str) -> None:
    (tmp_path / "v.txt").write_text(f"{header}a 1 2\nb 3 4\n", encoding=encoding)
    if encoding == "utf-32":
        message = "is UTF-32; convert it first"
    else:
        message = f"(is|seems to be) {encoding.upper().removesuffix('-LE').removesuffix('-BE')}.*; convert it first"
    with pytest.raises(UserError, match=message):
        load(tmp_path / "v.txt")


def test_repeated_words_beside_an_array_and_with_counts_keep_the_first(tmp_path: Path) -> None:
    emb = Embeddings(["a", "b", "c"], rows(0, 2, 3), np.array([5, 4, 3]))
    save(emb, tmp_path / "v.npy")
    (tmp_path / "v.vocab.txt").write_text("a\t5\nb\t4\na\t3\n")
    for mmap in (False, True):
        with pytest.warns(UserWarning, match=r"v.vocab.txt: 1 repeated words, kept the first \('a' at line 3\)"):
            found = load(tmp_path / "v.npy", mmap=mmap)
        assert list(found.words) == ["a", "b"] and list(found.counts) == [5, 4]
        np.testing.assert_array_equal(found.vectors, emb.vectors[:2])
    save(emb, tmp_path / "v.vec")
    (tmp_path / "counts.txt").write_text("a 5\nb 4\nb 9\nc 1\na 7\n")
    with pytest.warns(UserWarning, match=r"counts.txt: 2 repeated words, kept the first \('b' at line 3\)"):
        assert list(load(tmp_path / "v.vec", counts=tmp_path / "counts.txt").counts) == [5, 4, 1]


def test_only_float32_is_mapped(tmp_path: Path) -> None:
    save(Embeddings(["a", "b"], rows(0, 4, 2)), tmp_path / "v", dtype="int8")
    with pytest.raises(UserError, match="vectors.npy: int8: must be float32 for a memory map; leave mmap out"):
        load(tmp_path / "v", mmap=True)
    assert run("experiments.neighbours", f"--vectors={tmp_path}/v", "a").status == 0
