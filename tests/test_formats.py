"""Files of word vectors: round trips, gensim both ways, TensorBoard, and damage of every kind."""

from __future__ import annotations

import gzip
import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError

FILES = {"binary": "v.bin", "text": "v.txt", "glove": "v.glove", "native": "v"}


def make(v: int = 40, d: int = 5, seed: int = 0) -> Embeddings:
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(v, d)) * 10.0 ** rng.integers(-30, 30, (v, d))).astype(np.float32)
    words = ["</s>", "naïve", "日本", "don't", "3.14", *(f"w{i}" for i in range(v))][:v]
    return Embeddings(words, vectors, np.arange(v, 0, -1) * 1000)


def replace(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, 1))


def same(a: Embeddings, b: Embeddings, n: int = 0) -> None:
    n = n or len(b)
    assert list(a.words) == list(b.words[:n])
    np.testing.assert_array_equal(a.vectors, b.vectors[:n])


@pytest.mark.parametrize("format", FILES)
@pytest.mark.parametrize("limit", [0, 1, 7, 40, 1000])
def test_round_trip_is_exact(tmp_path, format, limit):
    path = tmp_path / FILES[format]
    save(make(), path, format)
    same(load(path, limit=limit), make(), min(limit or 40, 40))
    assert os.listdir(tmp_path) == [FILES[format]]


def test_one_dimension_and_one_word(tmp_path):
    for format, name in FILES.items():
        emb = Embeddings(["a"], np.array([[0.5]], np.float32))
        save(emb, tmp_path / name, format)
        same(load(tmp_path / name), emb)


def test_counts(tmp_path):
    save(make(), tmp_path / "v")
    np.testing.assert_array_equal(load(tmp_path / "v").counts, make().counts)
    save(make(), tmp_path / "v.bin")
    assert load(tmp_path / "v.bin").counts is None
    both = load(tmp_path / "v.bin", counts=tmp_path / "v" / "vocab.txt", limit=9)
    np.testing.assert_array_equal(both.counts, make().counts[:9])
    (tmp_path / "some.txt").write_text("</s> 7\n")
    with pytest.warns(UserWarning, match="39 words have no count"):
        assert load(tmp_path / "v.bin", counts=tmp_path / "some.txt").counts.sum() == 7
    bare = Embeddings(["a", "b c", "d 5"], np.eye(3, dtype=np.float32))
    save(bare, tmp_path / "bare")
    same(load(tmp_path / "bare"), bare)
    assert load(tmp_path / "bare").counts is None


@pytest.mark.parametrize("binary", [True, False])
def test_gensim_opens_ours(tmp_path, binary):
    models = pytest.importorskip("gensim.models")
    save(make(), tmp_path / "v", "binary" if binary else "text")
    save(make(), tmp_path / "native", "native")
    kv = models.KeyedVectors.load_word2vec_format(
        str(tmp_path / "v"), binary=binary, fvocab=str(tmp_path / "native" / "vocab.txt")
    )
    assert kv.index_to_key == list(make().words)
    np.testing.assert_array_equal(kv.vectors, make().vectors)
    assert kv.get_vecattr("</s>", "count") == 40_000


def test_gensim_opens_our_glove(tmp_path):
    models = pytest.importorskip("gensim.models")
    save(make(), tmp_path / "v", "glove")
    kv = models.KeyedVectors.load_word2vec_format(str(tmp_path / "v"), no_header=True)
    np.testing.assert_array_equal(kv.vectors, make().vectors)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_we_open_gensims(tmp_path, binary, packed):
    models = pytest.importorskip("gensim.models")
    emb = make()
    kv = models.KeyedVectors(emb.dim)
    kv.add_vectors(list(emb.words), emb.vectors)
    for word, count in zip(emb.words, emb.counts.tolist(), strict=True):
        kv.set_vecattr(word, "count", count)
    file, vocab = str(tmp_path / f"odd name{packed}"), str(tmp_path / "vocab")
    kv.save_word2vec_format(file, fvocab=vocab, binary=binary)
    same(load(file, counts=vocab), emb)
    np.testing.assert_array_equal(load(file, counts=vocab).counts, emb.counts)
    same(load(file, limit=3, binary=binary), emb, 3)


def c_tool(emb: Embeddings, binary: bool) -> bytes:
    """What the original tool writes: a blank after every number, a newline after every record."""
    out = b"%d %d\n" % emb.vectors.shape
    for word, vector in zip(emb.words, emb.vectors, strict=True):
        values = vector.tobytes() if binary else b"".join(b"%.30f " % x for x in vector)
        out += word.encode() + b" " + values + b"\n"
    return out


@pytest.mark.parametrize("binary", [True, False])
def test_c_tool(tmp_path, binary):
    emb = make()
    emb = Embeddings(emb.words, np.tanh(emb.vectors))
    (tmp_path / "v").write_bytes(c_tool(emb, binary))
    loaded = load(tmp_path / "v")
    assert list(loaded.words) == list(emb.words)
    np.testing.assert_allclose(loaded.vectors, emb.vectors, atol=1e-29)


def test_binary_is_told_from_text_by_content(tmp_path):
    """Vectors whose bytes look like text, in either direction."""
    letters = np.frombuffer(b"abcdefghijklmnop", "<f4").reshape(2, 2)
    for binary in (True, False):
        save(Embeddings(["x", "y"], letters), tmp_path / "v", "binary" if binary else "text")
        same(load(tmp_path / "v", binary=binary), Embeddings(["x", "y"], letters))
    blanks = np.frombuffer(b"    \n\n\n\n 1 2 3 \n", "<f4").reshape(2, 2)
    save(Embeddings(["x", "y"], blanks), tmp_path / "v", "binary")
    same(load(tmp_path / "v", binary=True), Embeddings(["x", "y"], blanks))


def test_glove_words_with_blanks_and_line_ends(tmp_path):
    (tmp_path / "g.txt").write_bytes(b"the 0.5 -1\r\n. . . 1 2\r\nat name@domain.com 3 4e-2\r\n\n")
    emb = load(tmp_path / "g.txt")
    assert list(emb.words) == ["the", ". . .", "at name@domain.com"]
    np.testing.assert_array_equal(emb.vectors, np.array([[0.5, -1], [1, 2], [3, 0.04]], np.float32))


def test_repeated_words_keep_the_first_and_warn(tmp_path):
    (tmp_path / "v.txt").write_text("4 1\na 1\nb 2\na 3\nb 4\n")
    with pytest.warns(UserWarning, match="2 repeated words.*'a' at line 4"):
        same(load(tmp_path / "v.txt"), Embeddings(["a", "b"], np.array([[1], [2]], np.float32)))


BAD = {
    "empty": (b"", "the file is empty"),
    "prose": (b"It was the best of times.\n", "line 1: 'was' is not a number"),
    "one word": (b"hello\n", "line 1: no numbers"),
    "header only": (b"3 2\n", "line 2: the file ends before the first word"),
    "huge header": (b"4000000000 300\nthe 1 2\n", "line 1: header of 4,000,000,000 words"),
    "huge dimension": (b"1 99999999999\nthe 1 2\n", "header '1 99999999999'"),
    "very long number": (b"1" * 200 + b" 3\nthe 1 2 3\n", "header '1{40}'"),
    "zero": (b"0 3\n", "header '0 3'"),
    "negative": (b"2 -3\na 1 2 3\n", "line 2: 3 numbers, but 1 were expected"),
    "short line": (b"3 3\na 1 2 3\nb 1 2\nc 1 2 3\n", "line 3: 2 numbers, but 3 were expected"),
    "long line": (b"a 1 2\nb 1 2 3\n", "line 2: 3 numbers, but 2 were expected"),
    "long lines": (b"2 2\na 1 2 3\nb 1 2 3\n", "line 2: more than 2 numbers in every line, but 2 were expected"),
    "not a number": (b"2 2\na 1 2\nb 1 x2\n", "line 3: 'x2' is not a number"),
    "fewer lines": (b"3 2\na 1 2\nb 1 2\n", "line 4: the file ends after 2 of the 3 words.*limit=2 "),
    "more lines": (b"2 1\na 1\nb 2\nc 3\n", "line 4: more lines than the header's 2 words"),
    "empty line": (b"a 1 2\n\nb 1 2\n", "line 2: 0 numbers"),
    "empty word": (b"2 2\na 1 2\n 1 2\n", "line 3: the word is empty"),
    "nan": (b"2 2\na 1 2\nb nan 2\n", "line 3: vector of 'b': a NaN"),
    "infinity": (b"a 1 2\nb 1e99 2\n", "line 2: vector of 'b': a NaN, an infinity"),
    "not utf-8": (b"2 2\na 1 2\n\xff\xfe 1 2\n", "line 3: word .* is not UTF-8"),
    "binary short": (
        b"2 2\na " + np.ones(2, "<f4").tobytes() + b"\nb \x00\x00\x80",
        "line 1: header|ends within record 2",
    ),
    "binary cut": (
        b"2 1\nword \x00\x00\x80\x3f\nlonger \x00\x00\x80",
        "byte 24: the file ends within record 2 of 2.*limit=1 ",
    ),
    "binary more": (b"1 1\na \x00\x00\x80\x3fb \x00\x00\x80\x3f", "byte 10: more data after the header's 1 words"),
    "binary nan": (b"1 1\na \x00\x00\xc0\x7f\n", "byte 4: vector of 'a': a NaN"),
    "binary no word": (b"1 1\n" + b"\x01" * 5000, "byte 5,004: the file ends within record 1"),
    "binary word": (b"1 1\n\xff\xff \x00\x00\x80\x3f", "byte 4: word .* is not UTF-8"),
    "random": (bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8)), "line 1"),
    "zeros": (b"\0" * 5000, "line 1: no numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_damage_is_named(tmp_path, case):
    content, message = BAD[case]
    path = tmp_path / "v"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as e:
        load(path)
    assert str(e.value).startswith(f"{path}: ") and "\n" not in str(e.value)


def test_a_packed_file_cannot_promise_more_than_it_holds(tmp_path):
    with gzip.open(tmp_path / "v.gz", "wb") as f:
        f.write(b"90000000 300\nthe 1 2\n")
    with pytest.raises(UserError, match="90,000,000 words"):
        load(tmp_path / "v.gz")
    whole = gzip.compress(b"2 1\na 1\nb 2\n" * 1)
    for cut in range(1, len(whole)):
        (tmp_path / "cut.gz").write_bytes(whole[:cut])
        with pytest.raises(UserError):
            load(tmp_path / "cut.gz")


@pytest.mark.parametrize("format", ["binary", "text", "glove"])
def test_any_cut_or_flipped_byte_is_refused_or_read(tmp_path, format):
    """Never another exception, and a cut binary file or one with a header is never taken for whole."""
    path = tmp_path / "v"
    save(Embeddings(["a", "bb", "c"], np.array([[1, -2], [0.25, 3e-5], [7, 8]], np.float32)), path, format)
    whole = path.read_bytes()
    for cut in range(len(whole) - 1):
        path.write_bytes(whole[:cut])
        try:
            read = load(path)
        except UserError:
            continue
        # A text file cut inside its last number, or GloVe cut between lines, still looks like a whole one.
        assert format == "glove" or (format == "text" and len(read) == 3 and b"\nc" in whole[:cut])
    rng = np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert np.isfinite(load(path).vectors).all()
        except UserError as e:
            assert "\n" not in str(e)


def test_words_that_are_not_utf8_can_be_replaced(tmp_path):
    (tmp_path / "v").write_bytes(b"2 1\na 1\n\xff 2\n")
    assert list(load(tmp_path / "v", encoding_errors="replace").words) == ["a", "\ufffd"]
    with pytest.raises(UserError, match="encoding_errors"):
        load(tmp_path / "v", encoding_errors="guess")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: (p / "vocab.txt").unlink(), "vocab.txt: no such file"),
        (lambda p: (p / "vectors.npy").unlink(), "vectors.npy: no such file"),
        (lambda p: (p / "vocab.txt").write_text("a\t1\n"), "1 words, but vectors.npy has 40"),
        (lambda p: (p / "vocab.txt").write_text(""), "vocab.txt: the file is empty"),
        (lambda p: (p / "vocab.txt").write_text("a\t1\nb\n"), "1 of 2 lines have a count"),
        (lambda p: (p / "vocab.txt").write_text("a\tmany\n"), "line 1: 'a.tmany' is not a word and its count"),
        (lambda p: (p / "vocab.txt").write_bytes(b"a\t1\n\xff\t2\n"), "line 2: not UTF-8"),
        (lambda p: np.save(p / "vectors.npy", np.ones((40, 2), int)), "int64 .*must be floats, or int8"),
        (lambda p: np.save(p / "vectors.npy", np.ones(40)), "must be floats, or int8"),
        (lambda p: np.save(p / "vectors.npy", np.array([{}]), allow_pickle=True), "not a whole .npy array"),
        (lambda p: (p / "vectors.npy").write_bytes((p / "vectors.npy").read_bytes()[:-4]), "not a whole .npy array"),
        (lambda p: (p / "vectors.npy").write_bytes(b"junk"), "not a whole .npy array"),
        (lambda p: replace(p / "vectors.npy", b"}", b"("), "not a whole .npy array"),
    ],
)
@pytest.mark.parametrize("mmap", [False, True])
def test_native_damage(tmp_path, change, message, mmap):
    save(make(), tmp_path / "v")
    change(tmp_path / "v")
    with pytest.raises(UserError, match=message):
        load(tmp_path / "v", mmap=mmap)


def test_other_refusals(tmp_path):
    for name, message in [("none", "no such file"), ("x.npz", "not a format"), ("x.pkl", "not a format")]:
        if name != "none":
            (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UserError, match=message):
            load(tmp_path / name)
    save(make(), tmp_path / "v.bin")
    with pytest.raises(UserError, match="memory-mapped"):
        load(tmp_path / "v.bin", mmap=True)
    with pytest.raises(UserError, match="limit"):
        load(tmp_path / "v.bin", limit=-1)
    with pytest.raises(UserError, match="ending '.xyz'"):
        save(make(), tmp_path / "v.xyz")
    with pytest.raises(UserError, match="did you mean 'binary'"):
        save(make(), tmp_path / "v", "binery")
    with pytest.raises(UserError, match="no such folder"):
        save(make(), tmp_path / "deep" / "v.bin")
    with pytest.raises(UserError, match="is a file"):
        save(make(), tmp_path / "v.bin", "native")
    for word in ("", "a b", "a\nb"):
        with pytest.raises(UserError, match="white space"):
            save(Embeddings([word], np.ones((1, 2), np.float32)), tmp_path / "w.txt")
    assert not (tmp_path / "w.txt").exists()


@pytest.mark.parametrize("format", [*FILES, "projector"])
def test_a_failed_write_leaves_the_old_file(tmp_path, format):
    old, path = make(seed=1), tmp_path / "v"
    save(old, path, format)
    listing = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    big = Embeddings([f"w{i}" for i in range(3000)], np.ones((3000, 8), np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))
    try:
        with pytest.raises(UserError, match="v: the file would pass the size|v: 24000 requested") as e:
            save(big, path, format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(e.value.__cause__, OSError) and e.value.__cause__.filename == str(path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == listing
    save(big, path, format)  # and afterwards the name is free to be written again
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]


def test_tensorboard_opens_the_projector_export(tmp_path):
    plugin = pytest.importorskip("tensorboard.plugins.projector.projector_plugin")
    from tensorboard.plugins import base_plugin
    from werkzeug.test import Client

    emb = Embeddings(["a", "b", "c"], np.array([[1, 2], [3, 4], [5, 6.5]], np.float32), np.array([9, 8, 7]))
    save(emb, tmp_path / "run", "projector")
    context = base_plugin.TBContext(logdir=str(tmp_path / "run"))
    apps = plugin.ProjectorPlugin(context).get_plugin_apps()
    info = json.loads(Client(apps["/info"]).get("/info?run=.").data)
    (entry,) = info["embeddings"]
    assert entry["tensorShape"] == [3, 2]
    query = f"run=.&name={entry['tensorName'].replace(' ', '%20')}"
    tensor = Client(apps["/tensor"]).get(f"/tensor?{query}")
    np.testing.assert_array_equal(np.frombuffer(tensor.data, np.float32).reshape(3, 2), emb.vectors)
    metadata = Client(apps["/metadata"]).get(f"/metadata?{query}").data.decode()
    assert metadata.split("\n")[:2] == ["word\tcount", "a\t9"]
