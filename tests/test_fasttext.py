"""fastText's binary models: words, unseen words and refusals, against gensim and a hash written out by hand."""

from __future__ import annotations

import gzip
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError
from w2v_jax.formats.subwords import Subwords, ngrams
from w2v_jax.models.vectors import start_vectors

WORDS = ["</s>", "the", "naïve", "смотреть", "смотрела", "हिन्दी", "日本語", "a", "кот", "👩\u200d👧", "x" * 300]
UNSEEN = ["смотрят", "naïvely", "日本", "हिन्", "z", "toy story"]
DIM, BUCKETS = 5, 97


def model(
    words: Sequence[bytes],
    matrix: np.ndarray,
    lengths: tuple[int, int] = (3, 6),
    buckets: int = BUCKETS,
    *,
    version: int = 12,
    kind: int = 2,
    labels: int = 0,
    pruned: int = -1,
    quantised: bool = False,
) -> bytes:
    """A file as fastText writes it."""
    out = struct.pack("<2i", 793712314, version)
    settings = (matrix.shape[1], 5, 1, 1, 5, 1, 2, kind, buckets, *lengths, 100)
    out += struct.pack("<12id", *settings, 1e-4) + struct.pack(
        "<3i2q", len(words), len(words) - labels, labels, 9, pruned
    )
    out += b"".join(word + b"\0" + struct.pack("<qb", max(100 - i, 1), 0) for i, word in enumerate(words))
    out += struct.pack("<?2q", quantised, *matrix.shape) + matrix.astype("<f4").tobytes()
    return out + struct.pack("<?2q", False, 1, matrix.shape[1]) + bytes(4 * matrix.shape[1])


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(WORDS) + BUCKETS, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def whole(matrix: np.ndarray) -> bytes:
    return model([word.encode() for word in WORDS], matrix)


def hash_of(gram: str) -> int:
    """32-bit FNV-1a over bytes that count as signed."""
    value = 2166136261
    for byte in gram.encode():
        value = ((value ^ (byte - 256 if byte > 127 else byte) % 2**32) * 16777619) % 2**32
    return value


def grams(word: str, shortest: int, longest: int) -> list[str]:
    marked = f"<{word}>"
    spans = [(i, n) for i in range(len(marked)) for n in range(shortest, longest + 1) if i + n <= len(marked)]
    return [marked[i : i + n] for i, n in spans if n > 1 or 0 < i < len(marked) - 1]


@pytest.mark.parametrize("lengths", [(3, 6), (1, 2), (1, 1), (5, 5), (2, 40)])
def test_n_grams_are_those_written_out_by_hand(lengths: tuple[int, int]) -> None:
    words = [*WORDS, *UNSEEN, ""]
    found, owner = ngrams([word.encode() for word in words], *lengths)
    for i, word in enumerate(words):
        assert sorted(found[owner == i].tolist()) == sorted(map(hash_of, grams(word, *lengths))), word
    assert (np.diff(owner) >= 0).all()


@pytest.mark.parametrize("packed", [False, True])
def test_words_are_means_of_their_rows_and_unseen_words_of_their_n_grams(
    tmp_path: Path, whole: bytes, matrix: np.ndarray, packed: bool
) -> None:
    (tmp_path / "m.bin").write_bytes(gzip.compress(whole) if packed else whole)
    found = load(tmp_path / "m.bin")
    assert list(found.words) == WORDS and found.counts is not None and found.counts.tolist() == list(range(100, 89, -1))
    for word in [*WORDS, *UNSEEN]:
        rows = [matrix[WORDS.index(word)]] if word in WORDS else []
        if word != "</s>":
            rows += [matrix[len(WORDS) + hash_of(gram) % BUCKETS] for gram in grams(word, 3, 6)]
        np.testing.assert_allclose(found.vector(word), np.mean(rows, axis=0), rtol=1e-5, atol=1e-6, err_msg=word)
    few = load(tmp_path / "m.bin", limit=3)
    assert list(few.words) == WORDS[:3] and np.array_equal(few.vectors, found.vectors[:3])
    assert np.array_equal(few.head(2).vector("кот"), few.vector("кот"))


def test_gensim_reads_the_same(tmp_path: Path) -> None:
    models = pytest.importorskip("gensim.models")
    from gensim.models import fasttext

    texts = [["смотреть", "naïve", "the"], ["हिन्दी", "日本語", "the", "a"], ["кот", "смотрела", "the"]] * 4
    theirs = models.FastText(texts, vector_size=DIM, min_count=1, bucket=BUCKETS, epochs=3, seed=1, workers=1)
    fasttext.save_facebook_model(theirs, str(tmp_path / "m.bin"))
    again = fasttext.load_facebook_vectors(str(tmp_path / "m.bin"))
    ours = load(tmp_path / "m.bin")
    assert list(ours.words) == again.index_to_key
    np.testing.assert_allclose(ours.vectors, again.vectors, rtol=1e-5, atol=1e-7)
    assert ours.counts is not None and ours.counts.tolist() == [again.get_vecattr(w, "count") for w in ours.words]
    for word in [w for w in UNSEEN if w != "toy story"]:
        np.testing.assert_allclose(ours.vector(word), again[word], rtol=1e-5, atol=1e-7)
        near = [word for word, _ in ours.nearest(word, topn=3)]
        assert near == [other for other, _ in again.most_similar(again[word], topn=3)]


@pytest.mark.parametrize("name", ["again.bin", "again.bin.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, whole: bytes, matrix: np.ndarray, name: str) -> None:
    (tmp_path / "m.bin").write_bytes(whole)
    found = load(tmp_path / "m.bin")
    save(found, tmp_path / name, "fasttext")
    again = load(tmp_path / name)
    assert list(again.words) == WORDS and again.counts is not None and found.counts is not None
    assert again.counts.tolist() == found.counts.tolist()
    np.testing.assert_allclose(again.vectors, found.vectors, rtol=1e-6, atol=1e-6)
    assert again.subwords is not None and again.subwords[1:] == (3, 6)
    assert np.array_equal(again.subwords.buckets, matrix[len(WORDS) :])
    assert all(np.array_equal(again[word], found[word]) for word in UNSEEN)
    written = (tmp_path / name).read_bytes()
    written = gzip.decompress(written) if name.endswith(".gz") else written
    start, own = whole.index(matrix[0].tobytes()), 4 * DIM * len(WORDS)
    assert struct.unpack_from("<12i", written, 8)[7:11] == (2, BUCKETS, 3, 6)
    assert written[92:start] == whole[92:start]  # the dictionary
    rows = np.frombuffer(written[start : start + own], "<f4").reshape(-1, DIM)
    np.testing.assert_allclose(rows, matrix[: len(WORDS)], atol=1e-4)
    assert len(written) == len(whole) + 4 * DIM * (len(WORDS) - 1)  # the output layer has a row for each word


def test_gensim_reads_what_is_written(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("gensim.models.fasttext")
    rng = np.random.default_rng(1)
    words = WORDS[1:]  # fastText makes no n-grams of </s>, gensim does
    rows, buckets = (rng.normal(size=(n, DIM)).astype(np.float32) for n in (len(words), BUCKETS))
    counts = np.arange(len(words) - 1, -1, -1)
    emb = Embeddings(words, rows, counts, Subwords(buckets, 2, 5))
    save(emb, tmp_path / "m.bin", "fasttext")
    for theirs in (
        fasttext.load_facebook_vectors(str(tmp_path / "m.bin")),
        fasttext.load_facebook_model(str(tmp_path / "m.bin")).wv,
    ):
        assert theirs.index_to_key == words
        assert [theirs.get_vecattr(word, "count") for word in words] == [*counts[:-1].tolist(), 1]
        for word in [*words, *UNSEEN]:
            np.testing.assert_allclose(theirs[word], emb[word], rtol=1e-4, atol=1e-5, err_msg=word)
    save(Embeddings(words, rows, None, emb.subwords), tmp_path / "plain.bin", "fasttext")
    assert set(load(tmp_path / "plain.bin").get_vecattr(word, "count") for word in words) == {1}


@pytest.mark.parametrize(
    ("words", "parts", "message"),
    [
        (["a", "b"], False, "fasttext needs vectors with n-grams, of a run of configs/subword.py"),
        (["a", "b\0c"], True, r"word 'b\\x00c' is empty or has white space or a zero byte"),
        (["a", "b c"], True, "word 'b c' is empty or has white space"),
    ],
)
def test_what_fasttext_cannot_hold(tmp_path: Path, words: list[str], parts: bool, message: str) -> None:
    rows = np.ones((2, DIM), np.float32)
    emb = Embeddings(words, rows, None, Subwords(rows, 3, 6) if parts else None)
    with pytest.raises(UserError, match=message):
        save(emb, tmp_path / "m.bin", "fasttext")
    assert not list(tmp_path.iterdir())


def test_queries_may_name_any_word(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "m.bin").write_bytes(whole)
    found = load(tmp_path / "m.bin")
    assert "смотрят" not in found and found.find("смотрят") is None
    assert found.similarity("смотрят", "смотрят") == pytest.approx(1) and found.distance("кот", "смотрят") > 0
    assert len(found.nearest("смотрят", topn=20)) == len(WORDS)
    assert len(found.analogy("смотрят", "кот", "a", 20, "3cosmul")) == len(WORDS) - 2
    assert len(found.odd_one_out(["смотрят", "кот", "the"])) == 3
    with pytest.raises(UserError, match="'' is not among"):
        found.vector("")
    save(found, tmp_path / "plain.bin")
    assert load(tmp_path / "plain.bin").subwords is None


def test_a_model_starts_from_the_n_grams_of_words_that_the_file_lacks(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "m.bin").write_bytes(whole)
    found = load(tmp_path / "m.bin")
    start = start_vectors(str(tmp_path / "m.bin"), ["кот", "смотрят", "q"], DIM, 4, 0.1)
    assert np.array_equal(start[0], found.vector("кот")) and np.array_equal(start[1], found.vector("смотрят"))
    assert np.array_equal(start[2], found.vector("q")) and not start[3].any()


@pytest.mark.parametrize("lengths", [(0, 0), (3, 0)])
def test_a_model_without_n_grams(tmp_path: Path, matrix: np.ndarray, lengths: tuple[int, int]) -> None:
    (tmp_path / "m").write_bytes(model([b"cat", b"dog"], matrix[:2], lengths, 0))
    found = load(tmp_path / "m")
    assert found.subwords is None and np.array_equal(found.vectors, matrix[:2])
    with pytest.raises(UserError, match="'bird' is not among"):
        found.vector("bird")


def test_words_that_are_not_utf8_and_nan(tmp_path: Path, matrix: np.ndarray) -> None:
    words = [b"the", b"\xff", b"o\xfff"]
    (tmp_path / "m").write_bytes(model(words, matrix[: 3 + BUCKETS]))
    with pytest.raises(UserError, match="byte 105: word .* is not UTF-8"):
        load(tmp_path / "m")
    with pytest.warns(UserWarning, match="1 words without any UTF-8"):
        found = load(tmp_path / "m", encoding_errors="ignore")
    assert list(found.words) == ["the", "of"] and found.counts is not None and found.counts.tolist() == [100, 98]
    holed = matrix[: 3 + BUCKETS].copy()
    holed[1] = np.nan
    (tmp_path / "m").write_bytes(model([b"the", b"cat", b"of"], holed))
    with pytest.warns(UserWarning, match="1 rows with a NaN"):
        found = load(tmp_path / "m", skip_nan=True)
    assert list(found.words) == ["the", "of"] and found.counts is not None and found.counts.tolist() == [100, 98]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 11}, "fastText model of version 11: only 12 is read"),
        ({"kind": 3}, "classifier .supervised."),
        ({"labels": 1}, "classifier .supervised."),
        ({"quantised": True}, "quantised fastText model"),
        ({"pruned": 5}, "quantised fastText model"),
        ({"buckets": 1 << 30}, "1,073,741,824 buckets.* but the file holds"),
        ({"buckets": BUCKETS + 1}, "matrix of 100 x 5, not 101 x 5"),
        ({"buckets": -1}, "damaged"),
        ({"lengths": (3, 1 << 30)}, "damaged"),
    ],
)
def test_other_models_are_refused_in_one_line(
    tmp_path: Path, matrix: np.ndarray, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "m.bin").write_bytes(model([b"cat", b"dog", b"the"], matrix[: 3 + BUCKETS], **change))
    with pytest.raises(UserError, match=message) as e:
        load(tmp_path / "m.bin")
    assert str(e.value).startswith(f"{tmp_path / 'm.bin'}: ") and "\n" not in str(e.value)


@pytest.mark.parametrize("packed", [False, True])
def test_any_damage_is_refused_or_read(tmp_path: Path, matrix: np.ndarray, packed: bool) -> None:
    words = [word.encode() for word in ("cat", "naïve", "the")]
    good = model(words, matrix[:16], buckets=13)
    path = tmp_path / "m"

    def tried(content: bytes) -> Embeddings | None:
        path.write_bytes(gzip.compress(content) if packed else content)
        try:
            return load(path, encoding_errors="replace")
        except UserError as e:
            assert "\n" not in str(e)
            return None

    end = len(good) - (17 + 4 * DIM)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert all(tried(good[:cut]) is None for cut in range(1, end, 3)) and tried(good[:end]) is not None
        rng = np.random.default_rng(0)
        for _ in range(150):
            damaged = bytearray(good)
            damaged[rng.integers(end)] = rng.integers(256)
            found = tried(bytes(damaged))
            assert found is None or np.isfinite(found.vectors).all()
