"""Encoding and decoding: exact text, pieces equal to the whole, damaged files. Byte-level BPE alone: test_bpe.py."""

import functools
import itertools
import json
import random
import re
from typing import Any

import numpy as np
import pytest

from tests.data.corpora import TEXT, build_text, rows
from w2v_jax.config import DataConfig
from w2v_jax.data import sources
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError

WHITE = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+\Z")


def by_hand(text: str, document: str) -> list[str]:
    """The documents of a file, without trailing white space, in plain Python."""
    lines = text.split("\n")
    if document == "blank":
        groups = itertools.groupby(lines, key=lambda line: bool(WHITE.sub("", line)))
        lines = ["\n".join(group) for filled, group in groups if filled]
    found = [text] if document == "file" else lines
    return [d for d in (WHITE.sub("", d) for d in found) if d]


@pytest.fixture
def build(tmp_path):
    return functools.partial(build_text, tmp_path)


# ---- exactness ----


@pytest.mark.parametrize("chunk", [1, 7, 16, 1 << 20])
@pytest.mark.parametrize("document", ["line", "blank", "file"])
@pytest.mark.parametrize("kind", [{"tokens": "characters"}, {"tokens": "bpe", "max_vocab": 290}])
def test_documents_come_back_exactly(build, monkeypatch, kind, document, chunk):
    monkeypatch.setattr(sources, "CHUNK", chunk)
    c = build(TEXT, document=document, **kind)
    documents = by_hand(TEXT, document)
    assert [c.tokenizer.decode(row) for row in rows(c.train)] == documents
    for row, text in zip(rows(c.train), documents, strict=True):
        encoded = c.tokenizer.encode(text)
        assert encoded.dtype == np.int32 and np.array_equal(encoded, row)
    if document == "file":
        assert c.tokenizer.decode(c.tokenizer.encode(TEXT + " \n ")) == TEXT + " \n "  # its trailing white space too
    assert c.train.words == sum(len(d.split()) for d in documents)
    assert c.train.bytes == sum(len(d.encode()) + 1 for d in documents)
    counts = np.bincount(c.train.tokens, minlength=len(c.vocab))
    assert (
        np.array_equal(counts, c.vocab.counts)
        and c.tokenizer.words == c.vocab.words
        and c.tokenizer.size == len(c.vocab)
    )


def test_pieces_of_random_text_equal_the_whole(build, monkeypatch):
    """Every mixture of marks, letters and white space that a cut can fall into, one long document."""
    rng = random.Random(1)
    text = "".join(rng.choices("ab1!'s \n\t\r\xa0\x85\x1c\u2003\u2028éÉ\x0b😀", k=6000)) + "."
    whole = build(text, tokens="bpe", max_vocab=400, document="file")
    expected = whole.train.tokens.tolist()
    assert whole.tokenizer.encode(text).tolist() == expected
    for chunk in (3, 50, 333):
        monkeypatch.setattr(sources, "CHUNK", chunk)
        pieces = build(text + " " * chunk, tokens="bpe", max_vocab=400, document="file")  # a key of its own
        assert pieces.digest != whole.digest and pieces.vocab.words == whole.vocab.words
        assert pieces.train.tokens.tolist() == expected


def test_a_long_document_is_read_in_bounded_pieces(build, monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "CHUNK", 1000)
    text = "ab cd\n" * 5000
    c = build(text, tokens="characters", document="file")
    assert c.train.documents == 1 and len(c.train.tokens) == len(text) - 1
    raw = sources.raw_text(DataConfig(source=f"text:{tmp_path / 't.txt'}", document="file"))
    assert max(len(chunk) for chunk, _ in raw.chunks(sources.hashlib.blake2b())) < 2100


def test_lower_case_folds_characters_and_bpe(build):
    text = "ΑΣ ΑΣΑ\nÉcole İ The THE\n"
    for kind in ({"tokens": "characters"}, {"tokens": "bpe", "max_vocab": 260}):
        c = build(text, lowercase=True, **kind)
        assert [c.tokenizer.decode(row) for row in rows(c.train)] == text.lower().splitlines()
        assert np.array_equal(c.tokenizer.encode("The THE"), c.tokenizer.encode("the the"))


def test_characters_by_frequency_and_their_vocabulary_file(build):
    c = build("a\tb\n\na b\\\né a\n", tokens="characters", end_token="<eos>")
    assert c.vocab.words == ("<eos>", "a", " ", "b", "\t", "\\", "é")
    assert c.vocab.counts.tolist() == [4, 3, 2, 2, 1, 1, 1]
    assert [row.tolist() for row in rows(c.train)] == [[1, 4, 3, 0], [0], [1, 2, 3, 5, 0], [6, 2, 1, 0]]
    assert (c.train.words, c.train.bytes) == (6 + 4, len("a\tb\n\na b\\\né a\n".encode()))
    assert c.tokenizer.pieces(range(7)) == ["<eos>", "a", r"\x20", "b", r"\t", r"\\", "é"]
    assert c.tokenizer.decode([1, 4, 3, 0]) == "a\tb<eos>"


def test_rare_characters_are_dropped_kept_or_refused(build):
    text = "aaa bbb\n~aa bb\n"
    assert build(text, tokens="characters", min_count=2, unknown="drop").train.bytes == len("aaa bbb\naa bb\n")
    kept = build(text, tokens="characters", min_count=2, unknown="keep")
    assert kept.tokenizer.decode(rows(kept.train)[1]) == "<unk>aa bb" and kept.train.bytes == len(text)
    with pytest.raises(UserError, match="'~' is not in the vocabulary"):
        build(text, tokens="characters", min_count=2)


# ---- words, and the saved tokeniser ----


def test_words_are_encoded_as_in_the_corpus(build):
    c = build("Don't stop the cat!\nThe cat\n", tokens="punctuation", lowercase=True)
    assert np.array_equal(c.tokenizer.encode("DON'T stop the cat!"), rows(c.train)[0])
    assert c.tokenizer.decode(rows(c.train)[0]) == "don't stop the cat !"
    with pytest.raises(UserError, match="'dog' is not in the vocabulary; .*data.unknown=keep"):
        c.tokenizer.encode("the dog")
    drop = build("the cat\n", unknown="drop").tokenizer
    assert drop.decode(drop.encode("the dog's cat")) == "the cat" and drop.encode("dog").shape == (0,)
    keep = build("the cat\n", unknown="keep").tokenizer
    assert keep.decode(keep.encode("the dog cat")) == "the <unk> cat" and keep.unknown_id is not None
    held = build("a <unk> b\n", tokens="whitespace").tokenizer  # a text that brings its own
    assert held.decode(held.encode("a c")) == "a <unk>"


KINDS: list[dict[str, Any]] = [
    {"tokens": "whitespace", "unknown": "keep"},
    {"tokens": "characters", "end_token": "<eos>", "document": "file"},
    {"tokens": "bpe", "max_vocab": 280, "end_token": "<eos>"},
]


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(build, tmp_path, kind):
    made = build(TEXT, **kind).tokenizer
    made.save(tmp_path / "run" / "tokenizer")
    made.save(tmp_path / "run" / "tokenizer")  # over the same
    assert sorted(p.name for p in (tmp_path / "run" / "tokenizer").iterdir()) == ["tokenizer.json", "vocab.txt"]
    found = Tokenizer.load(tmp_path / "run" / "tokenizer")
    names = ("kind", "lowercase", "unknown", "end_token", "size", "end_id", "unknown_id")
    assert [getattr(found, n) for n in names] == [getattr(made, n) for n in names]
    assert np.array_equal(found.encode(TEXT), made.encode(TEXT))
    assert found.decode(found.encode(TEXT)) == made.decode(made.encode(TEXT))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_named(build, tmp_path, kind):
    build(TEXT, **kind).tokenizer.save(tmp_path)
    entry, words = tmp_path / "tokenizer.json", tmp_path / "vocab.txt"
    good, listed = entry.read_bytes(), words.read_bytes()
    fields = json.loads(good)
    broken = [good[:-3], b"[]", b"{}", json.dumps(fields | {"format": 99}).encode()]
    broken += [json.dumps(fields | {"model": {"type": "none"}}).encode()]
    broken += [json.dumps(fields | {"end_token": "<none>"}).encode()]
    broken += [json.dumps(fields | {"kind": "letters" if fields["kind"] == "bpe" else "bpe"}).encode()]
    for data in broken:
        entry.write_bytes(data)
        with pytest.raises(UserError, match="tokenizer.json: ") as e:
            Tokenizer.load(tmp_path)
        assert "\n" not in str(e.value)
    entry.write_bytes(good)
    for data in (listed[:-1], listed.replace(b"\t1\n", b"\t2\n"), b""):
        words.write_bytes(data)
        with pytest.raises(UserError, match="vocab.txt: damaged"):
            Tokenizer.load(tmp_path)
    words.unlink()
    with pytest.raises(UserError, match="vocab.txt: no such file"):
        Tokenizer.load(tmp_path)
