"""Files of word vectors as other tools and editors leave them: marks, blanks, line ends, long and encoded words."""

from __future__ import annotations

import base64
import gzip
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import refused, run
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError
from w2v_jax.evaluation.analogies import read_bats, read_msr, read_questions
from w2v_jax.evaluation.categorisation import read_classes
from w2v_jax.evaluation.similarity import read_pairs

MARK = b"\xef\xbb\xbf"
ROWS = np.array([[1, 0], [0, 1]], np.float32)
SCRIPTS = {
    "german": ["Straße", "ÄRGER"],
    "french": ["l'être", "œuvre"],
    "russian": ["съёмка", "Ёж"],
    "greek": ["ὕδωρ", "ΣΊΣΥΦΟΣ"],
    "hindi": ["हिन्दी", "क्\u200dष"],
    "bengali": ["বাংলা", "র\u200d্য"],
    "tamil": ["தமிழ்", "கொ"],
    "thai": ["ภาษาไทย", "น้ำ"],
    "persian": ["می\u200cخواهم", "کتاب"],
    "hebrew": ["שָׁלוֹם", "צה״ל"],
    "arabic": ["العَرَبِيَّة", "\u202bأ\u202c"],
    "chinese": ["中文", "\U00020000"],
    "japanese": ["がぎぐ", "か\u3099"],
    "korean": ["한국어", "\u1112\u1161\u11ab"],
    "burmese": ["မြန်မာ", "က္က"],
    "vietnamese": ["tiếng", "việt"],
    "turkish": ["İstanbul", "ıssız"],
    "gothic": ["𐌲𐌿𐍄", "👩\u200d👩\u200d👧"],
    "signs": ["soft\u00adhyphen", "c\\d"],
    "looks like something else": ["B64:dGhl", "# 1"[:1]],
}


def read(path: Path, content: bytes, **options: object) -> Embeddings:
    path.write_bytes(content)
    return load(path, **options)  # type: ignore[arg-type]


def binary(words: list[bytes], end: bytes = b"\n", header: bytes = b"%d %d\n") -> bytes:
    rows = [word + b" " + row.tobytes() + end for word, row in zip(words, ROWS, strict=True)]
    return header % ROWS.shape + b"".join(rows)


@pytest.mark.parametrize("script", SCRIPTS)
def test_words_of_every_script_go_through_gensim_and_back(tmp_path: Path, script: str) -> None:
    models = pytest.importorskip("gensim.models")
    ours = Embeddings(SCRIPTS[script], ROWS)
    for kind in ("binary", "text"):
        save(ours, tmp_path / kind, kind)
        theirs = models.KeyedVectors.load_word2vec_format(str(tmp_path / kind), binary=kind == "binary")
        assert theirs.index_to_key == SCRIPTS[script]
        theirs.save_word2vec_format(str(tmp_path / "back"), binary=kind == "binary")
        again = load(tmp_path / "back")
        assert list(again.words) == SCRIPTS[script] and np.array_equal(again.vectors, ROWS)


@pytest.mark.parametrize(
    "content",
    [
        MARK + b"2 2\nthe 1 0\nof 0 1\n",
        MARK + b"the 1 0\nof 0 1\n",
        MARK + binary([b"the", b"of"]),
        b"2\t2\nthe\t1\t0\nof\t0\t1\n",
        b"the\t1\t0\nof\t0\t1\n",
        b"2 2\nthe  1  0\nof 0  1 \n",
        b" 2  2 \n the  1\t 0\t\n  of 0  1\n",
        b"2 2\r\nthe 1 0\r\nof 0 1\r\n",
        b"the 1 0\r\nof 0 1\r\n\r\n",
        binary([b"the", b"of"], b"\r\n", b"%d %d\r\n"),
        binary([b"the", b"of"], b"", b"%d\t%d\r\n"),
        b"2 2\nB64:dGhl 1 0\nB64:b2Y= 0 1\n",
        binary([b"B64:dGhl", b"B64:b2Y="]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_words_however_they_are_written(tmp_path: Path, content: bytes, packed: bool) -> None:
    """Packed files are known by their first bytes: the name says nothing."""
    found = read(tmp_path / "v.txt", gzip.compress(content) if packed else content)
    assert list(found.words) == ["the", "of"] and np.array_equal(found.vectors, ROWS)


def test_the_header_says_where_a_phrase_ends(tmp_path: Path) -> None:
    found = read(tmp_path / "v", b"3 2\nthe 1 0\nToy Story  2 0 1\n49 ers\t9 2 2\n")
    assert list(found.words) == ["the", "Toy Story  2", "49 ers\t9"] and found.vectors.tolist()[1:] == [[0, 1], [2, 2]]
    assert list(read(tmp_path / "v", b"1 2\nToy Story 2 0 1\n").words) == ["Toy Story 2"]
    with pytest.raises(UserError, match="line 2: 3 numbers, but 2 were expected"):  # no header
        read(tmp_path / "v", b"the 1 0\nstory 2 0 1\n")


@pytest.mark.parametrize("size", [4095, 5000, 70_000, 3_000_000])
def test_words_of_any_length_are_read_as_they_were_written(tmp_path: Path, size: int) -> None:
    emb = Embeddings(["ж" * (size // 2), "a"], np.array([[0.1, 7], [1e-9, 3]], np.float32))
    for kind in ("binary", "text", "glove", "native"):
        save(emb, tmp_path / kind, kind)
        again = load(tmp_path / kind)
        assert again.words[0] == emb.words[0] and np.array_equal(again.vectors, emb.vectors)


def test_longer_words_are_neither_written_nor_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from w2v_jax import export
    from w2v_jax.formats import binary as reader

    save(Embeddings(["ж" * 60, "a"], ROWS), tmp_path / "v.bin")
    monkeypatch.setattr(reader, "MAX_WORD", 100)
    monkeypatch.setattr(export, "MAX_WORD", 100)
    monkeypatch.setattr(reader, "_READ", 20)
    with pytest.raises(UserError, match="no word ends within 100 bytes"):
        load(tmp_path / "v.bin", binary=True)
    with pytest.raises(UserError, match="120 bytes.* at most 100"):
        save(Embeddings(["ж" * 60, "a"], ROWS), tmp_path / "w.bin")


def test_words_that_only_look_encoded_stay(tmp_path: Path) -> None:
    for words in (["B64:dGhl", "of"], ["B64:dGh", "B64:b2Y="], ["B64:", "B64:b2Y="], ["B64:dGhl", "B64:dGhm/w=="]):
        save(Embeddings(words, ROWS), tmp_path / "v.txt")
        assert list(load(tmp_path / "v.txt").words) == words
    both = [b"B64:" + base64.b64encode(word.encode()) for word in ("New York", "мир")]
    assert list(read(tmp_path / "v", binary(both)).words) == ["New York", "мир"]


# ---- words and rows that are left out by choice ----


def text(words: list[bytes]) -> bytes:
    return b"%d 1\n" % len(words) + b"".join(b"%b %d\n" % (word, i) for i, word in enumerate(words))


def test_words_that_become_empty_are_dropped_and_counted(tmp_path: Path) -> None:
    damaged = [b"the", b"\x97", b"o\xfff", b"\xfe\xff", b"of", b"the\x80"]
    with pytest.warns(UserWarning) as said:
        found = read(tmp_path / "v", text(damaged), encoding_errors="ignore")
    assert list(found.words) == ["the", "of"] and found.vectors.ravel().tolist() == [0, 2]
    assert "2 repeated words" in str(said[0].message) and "'of' at line 6" in str(said[0].message)
    assert "2 words without any UTF-8 were dropped, the first at line 3" in str(said[1].message)
    found = read(tmp_path / "v", text(damaged), encoding_errors="replace")
    assert list(found.words) == ["the", "\ufffd", "o\ufffdf", "\ufffd\ufffd", "of", "the\ufffd"]
    with pytest.raises(UserError, match="none is left"):
        read(tmp_path / "v", text([b"\x97"]), encoding_errors="ignore")


@pytest.mark.parametrize("size", [1, 33, 1 << 20])
def test_binary_words_are_the_same_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    from w2v_jax.formats import binary as reader

    monkeypatch.setattr(reader, "_READ", size)
    words = [
        b"the",
        b"o\xff",
        b"\nof",
        b"\xc3\xa9t\xc3\xa9",
        b"the",
        b"\xff",
        b"a-b",
        b"o",
        *map(b"%d".__mod__, range(40)),
    ]
    rows = [word + b" " + np.array([i, -i], "<f4").tobytes() for i, word in enumerate(words)]
    content = b"%d 2\n" % len(words) + b"".join(rows)
    left = {"ignore": [4, 5, 7], "replace": [4]}  # a repeated word, one of no letter, and one that is as a second
    for errors, gone in left.items():
        with pytest.warns(UserWarning) as said:
            found = read(tmp_path / "v", content, binary=True, encoding_errors=errors)
        kept = [i for i in range(len(words)) if i not in gone]
        assert list(found.words) == [words[i].lstrip().decode(errors=errors) for i in kept]
        assert found.vectors.tolist() == [[i, -i] for i in kept]
        assert f"{len(gone) - len(said) + 1} repeated words, kept the first ('the'" in str(said[0].message)
    with pytest.raises(UserError, match=r"byte 17: word b'o.+xff' is not UTF-8"):
        read(tmp_path / "v", content, binary=True)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_folder_may_lose_words_and_rows(tmp_path: Path, mmap: bool) -> None:
    save(Embeddings(["a", "b", "c", "d", "e"], np.arange(10, dtype=np.float32).reshape(5, 2)), tmp_path / "v")
    (tmp_path / "v" / "vocab.txt").write_bytes(MARK + b"a\t9\n\x97\t8\nc\t7\na\xff\t6\ne\t5\n")
    with pytest.raises(UserError, match="line 2: not UTF-8; pass encoding_errors=replace"):
        load(tmp_path / "v", mmap=mmap)
    with pytest.warns(UserWarning, match="2 words, empty or repeated"):
        found = load(tmp_path / "v", mmap=mmap, encoding_errors="ignore")
    assert list(found.words) == ["a", "c", "e"] and found.vectors[:, 0].tolist() == [0, 4, 8]
    assert found.counts is not None and found.counts.tolist() == [9, 7, 5]
    (tmp_path / "v" / "vocab.txt").write_bytes(b"a\nb\nc\nd\ne\n")
    rows = np.load(tmp_path / "v" / "vectors.npy")
    rows[3, 1] = np.nan
    np.save(tmp_path / "v" / "vectors.npy", rows)
    with pytest.warns(UserWarning, match="1 rows with a NaN.* were skipped .'d' at row 3"):
        found = load(tmp_path / "v", mmap=mmap, skip_nan=True)
    assert list(found.words) == ["a", "b", "c", "e"] and np.isfinite(found.norms).all()


@pytest.mark.parametrize("kind", ["binary", "text", "glove"])
def test_rows_with_a_nan_are_skipped_by_choice(tmp_path: Path, kind: str) -> None:
    rows = np.array([[1, 2], [np.nan, 0], [3, 4], [np.inf, 0]], np.float32)
    save(Embeddings(["a", "b", "c", "d"], rows), tmp_path / "v", kind)
    with pytest.raises(UserError, match="vector of 'b': a NaN.*skip_nan"):
        load(tmp_path / "v")
    with pytest.warns(UserWarning, match="2 rows with a NaN.* were skipped .'b' at (line|byte) "):
        found = load(tmp_path / "v", skip_nan=True)
    assert list(found.words) == ["a", "c"] and found.vectors.tolist() == [[1, 2], [3, 4]]
    save(Embeddings(["a", "b"], np.full((2, 2), np.nan)), tmp_path / "v", kind)
    with pytest.raises(UserError, match="every row holds a NaN"):
        load(tmp_path / "v", skip_nan=True)


@pytest.mark.parametrize("whole", [b"3 2\nthe 1 0\nof 0 1\n", binary([b"the", b"of"]).replace(b"2", b"3", 1)])
def test_a_row_too_few_names_the_limit(tmp_path: Path, whole: bytes) -> None:
    with pytest.raises(UserError, match="of.* 3.*: truncated; limit=2 "):
        read(tmp_path / "v", whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(load(tmp_path / "v", limit=2).words) == ["the", "of"]


@pytest.mark.parametrize("binary", [False, True])
def test_a_row_too_many_names_the_limit_that_reads_the_file(tmp_path: Path, binary: bool) -> None:
    rows = {"a": [1.0, 0.5], "b": [0.25, 1.0], "c": [1.0, 1.0]}
    if binary:
        data = b"".join(b"%s %s\n" % (w.encode(), np.array(v, "<f4").tobytes()) for w, v in rows.items())
    else:
        data = "".join(f"{w} {v[0]} {v[1]}\n" for w, v in rows.items()).encode()
    with pytest.raises(UserError, match="more .* the header's 2 words; limit=2 reads these only"):
        read(tmp_path / "v", b"2 2\n" + data)
    assert list(load(tmp_path / "v", limit=2).words) == ["a", "b"]


def test_files_of_gensim_say_how_to_write_them_again(tmp_path: Path) -> None:
    for name in ("model", "m.kv", "m.model"):
        with pytest.raises(UserError, match=r"save_word2vec_format.*Embeddings\(kv.index_to_key, kv.vectors\)"):
            read(tmp_path / name, pickle.dumps({"vectors": [1]}, protocol=4))


@pytest.mark.parametrize("line", ["area 51", "new york"])
def test_a_blank_does_not_end_a_word_in_the_file_beside_an_array(tmp_path: Path, line: str) -> None:
    np.save(tmp_path / "v.npy", ROWS)
    (tmp_path / "v.vocab.txt").write_text(f"{line}\nroute 66\n")
    with pytest.raises(UserError, match=f"v.vocab.txt: line 1: '{line}' .*put a tab"):
        load(tmp_path / "v.npy")
    (tmp_path / "v.vocab.txt").write_text(f"{line}\t\nroute 66\t\n")
    assert list(load(tmp_path / "v.npy").words) == [line, "route 66"]


def test_packed_files_of_other_kinds_say_to_unpack(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unpack it first"):
        read(tmp_path / "crawl.vec.zip", b"PK")


# ---- the files of tests ----


@pytest.mark.parametrize(
    ("reader", "content", "want"),
    [
        (read_pairs, "king\tqueen\t9\n# a remark\nmän\tfrau\t8\n", [("king", "queen", 9.0), ("män", "frau", 8.0)]),
        (read_classes, "# class, word\nbird\trobin\n", [("bird", "robin")]),
        (read_questions, "# of ours\n: x\na b c d\n#\n: y\n", {"x": [("a", "b", "c", "d")], "y": []}),
        (read_msr, "NN\ta\tb\tc\td\n", {"NN": [("a", "b", "c", "d")]}),
        (read_bats, "#\tb\nr\ta\tb\n", {"r": []}),
    ],
)
def test_marks_and_remarks_are_no_part_of_a_test(tmp_path: Path, reader: Any, content: str, want: object) -> None:
    for written in (content, content.replace("\n", "\r\n")):
        (tmp_path / "t").write_bytes(MARK + written.encode())
        assert reader(tmp_path / "t") == want


@pytest.mark.parametrize("score", ["nan", "-inf", "1e999", "high", "1,5"])
def test_what_is_no_score_is_named(tmp_path: Path, score: str) -> None:
    (tmp_path / "t").write_text(f"# a remark\nking\tqueen\t9\nking\tman\t{score}\n")
    with pytest.raises(UserError, match=f"line 3: '{score}' is not a score"):
        read_pairs(tmp_path / "t")


# ---- the commands ----


def test_the_flags_are_there_wherever_vectors_are_read(tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(b"4 2\nthe 1 0\n\x97 0 1\no\xfff 1 1\nnone nan 0\n")
    vectors = f"--vectors={tmp_path / 'v'}"
    tables = [f"--train=tsv:{tmp_path / 'none.tsv'}", "--test=tsv:x", f"--workdir={tmp_path / 'w'}", "--models=average"]
    commands = {
        "neighbours": [vectors, "the"],
        "evaluate": [vectors, f"--json={tmp_path / 'e.json'}"],
        "figures": ["map", vectors, "--words=the,of"],
    }
    for name, arguments in commands.items():
        refused(run(f"experiments.{name}", *arguments), "line 3: word", "not UTF-8", "encoding_errors=replace")
        refused(run(f"experiments.{name}", *arguments, "--encoding_errors=ignore"), "line 5", "skip_nan")
    for name in ("neighbours", "evaluate"):
        done = run(f"experiments.{name}", *commands[name], "--encoding_errors=ignore", "--skip_nan")
        assert done.status == 0 and done.err.count("warning: ") == done.err.count("\n") == 2, done.err
        assert "1 rows with a NaN" in done.err and "1 words without any UTF-8" in done.err
    (tmp_path / "v").write_bytes(b"2 2\nthe 1 0\n\x97 0 1\n")
    refused(run("experiments.sentiment", vectors, *tables), "line 3: word", "encoding_errors=replace")
    done = run("experiments.sentiment", vectors, *tables, "--encoding_errors=ignore")
    first, last = done.err.splitlines()
    assert first.startswith("warning: ") and "1 words without any UTF-8" in first and "none.tsv" in last
