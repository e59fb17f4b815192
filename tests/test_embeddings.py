"""The queried object, against brute force in numpy and scipy and against gensim."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import distance

from w2v_jax import word_table
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError


def make(v: int = 200, d: int = 7, seed: int = 0) -> Embeddings:
    rng = np.random.default_rng(seed)
    return Embeddings([f"w{i}" for i in range(v)], rng.normal(0, 2, (v, d)).astype(np.float32), np.arange(v, 0, -1))


def in_gensim(emb: Embeddings):
    models = pytest.importorskip("gensim.models")
    kv = models.KeyedVectors(emb.dim)
    kv.add_vectors(list(emb.words), emb.vectors)
    return kv


@pytest.fixture(params=[1 << 22, 50], ids=["one chunk", "many chunks"], autouse=True)
def _chunks(request, monkeypatch):
    monkeypatch.setattr(word_table, "_CHUNK_FLOATS", request.param)


@pytest.mark.parametrize("restrict", [0, 60, 1000])
@pytest.mark.parametrize(("plus", "minus"), [(["w3"], []), (["w3", "w70"], ["w5"]), (["w1"], ["w150", "w2"])])
def test_cosine_neighbours_are_gensims(plus, minus, restrict):
    emb = make()
    expected = in_gensim(emb).most_similar(plus, minus, topn=8, restrict_vocab=min(restrict, len(emb)) or None)
    ours = emb.nearest(plus, minus, topn=8, restrict=restrict)
    assert [w for w, _ in ours] == [w for w, _ in expected]
    np.testing.assert_allclose([s for _, s in ours], [s for _, s in expected], atol=1e-5)


def test_no_limit_is_none_as_in_gensim(tmp_path):
    emb = make(5)
    save(emb, tmp_path / "all.bin")
    assert len(load(tmp_path / "all.bin", limit=None)) == 5 and len(load(tmp_path / "all.bin", limit=2)) == 2
    for limit in ("2", 2.0, -1):
        with pytest.raises(UserError, match="limit=.*: must be 0 .all. or more"):
            load(tmp_path / "all.bin", limit=limit)
    with pytest.raises(UserError, match="path=None: must be the path of a file or a folder"):
        load(None)


def test_euclidean_neighbours_by_brute_force():
    emb = make()
    x = emb.vectors.astype(np.float64)
    for query, target in [((["w3"], []), x[3]), ((["w3", "w4"], ["w9"]), x[3] + x[4] - x[9])]:
        far = distance.cdist(target[None], x)[0]
        order = [i for i in np.argsort(far) if f"w{i}" not in query[0] + query[1]][:9]
        ours = emb.nearest(*query, topn=9, metric="euclidean")
        assert [w for w, _ in ours] == [f"w{i}" for i in order]
        np.testing.assert_allclose([s for _, s in ours], far[order], rtol=1e-5)
    middle = (x[3] + x[4]) / 2
    assert emb.nearest(["w3", "w4"], topn=1, metric="euclidean")[0][1] == pytest.approx(
        np.delete(distance.cdist(middle[None], x)[0], [3, 4]).min(), rel=1e-5
    )


def test_multiplicative_analogy_is_gensims():
    emb = make()
    expected = in_gensim(emb).most_similar_cosmul(["w2", "w30"], ["w1"], topn=6)
    ours = emb.analogy("w1", "w2", "w30", topn=6, method="3cosmul")
    assert [w for w, _ in ours] == [w for w, _ in expected]
    np.testing.assert_allclose([s for _, s in ours], [s for _, s in expected], rtol=1e-4)


def test_worked_analogy_with_and_without_the_query_words():
    vectors = np.array([[1, 1, 0.2], [1, 0, 0.1], [0, 0.2, 1], [0.1, 1, 1.3], [-1, 0.3, -1]], np.float32)
    emb = Embeddings(["king", "man", "woman", "queen", "pear"], vectors)
    assert emb.analogy("man", "king", "woman", topn=1)[0][0] == "queen"
    assert emb.analogy("man", "king", "woman", method="3cosmul", topn=1)[0][0] == "queen"
    left_out = {w for w, _ in emb.analogy("man", "king", "woman")}
    kept = {w for w, _ in emb.analogy("man", "king", "woman", exclude=False)}
    assert left_out == {"queen", "pear"} and kept == set(emb.words)


def test_a_word_is_nearest_to_itself_when_it_is_kept():
    emb = make()
    assert emb.nearest("w5", topn=1, exclude_query=False)[0] == ("w5", pytest.approx(1, abs=1e-6))
    assert emb.nearest("w5", topn=1, metric="euclidean", exclude_query=False)[0] == ("w5", 0)
    assert emb.nearest(emb.vector("w5"), topn=1)[0][0] == "w5"  # a vector, unlike a word, is not left out
    assert len(emb.nearest("w5", topn=10_000)) == len(emb) - 1


def test_similarity_distance_and_odd_one_out():
    emb = make()
    x, y = emb.vectors[3], emb.vectors[8]
    assert emb.similarity("w3", "w8") == pytest.approx(1 - distance.cosine(x, y), abs=1e-6)
    assert emb.distance("w3", "w8") == pytest.approx(distance.euclidean(x, y), rel=1e-6)
    for start in range(0, 150, 5):
        words = [f"w{i}" for i in range(start, start + 3 + start % 4)]
        assert emb.odd_one_out(words)[0][0] == in_gensim(emb).doesnt_match(words)
    with pytest.raises(UserError, match="three different"):
        emb.odd_one_out(["w1", "w1", "w2"])


def test_missing_words_bring_suggestions():
    emb = Embeddings(["doctor", "doctors", "Paris", "microscope"], np.eye(4, dtype=np.float32))
    with pytest.raises(UserError, match="'doctr' is not among the 4 words.*doctor, doctors"):
        emb.nearest("doctr")
    with pytest.raises(UserError, match="Paris"):
        emb.vector("paris")
    with pytest.raises(UserError, match="'zzzzzz' is not among the 4 words of these vectors$"):
        emb.similarity("doctor", "zzzzzz")
    assert emb.find("PARIS") == 2 and emb.find("DOCTOR") == 0 and emb.find("zzz") is None


def test_zero_vectors_have_no_direction():
    emb = Embeddings(["a", "b", "c"], np.array([[0, 0], [1, 0], [0, 2]], np.float32))
    assert emb.similarity("a", "b") == 0
    assert [w for w, _ in emb.nearest("b", topn=2)] == ["a", "c"]
    with pytest.raises(UserError, match="zero vector"):
        emb.nearest("a")
    assert emb.nearest("a", metric="euclidean", topn=1) == [("b", 1.0)]


@pytest.mark.parametrize(
    ("words", "vectors", "counts", "message"),
    [
        (["a"], np.ones((2, 3)), None, "1 words but 2 vectors"),
        (["a", "a"], np.ones((2, 3)), None, "'a' occurs twice"),
        (["a", "b"], np.ones(2), None, "must be"),
        (["a", "b"], np.ones((2, 0)), None, "must be"),
        (["a", "b"], np.ones((2, 3)), np.ones(3), "3 counts"),
    ],
)
def test_parts_must_fit(words, vectors, counts, message):
    with pytest.raises(UserError, match=message):
        Embeddings(words, vectors, counts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positive": []}, "no word"),
        ({"positive": "w1", "metric": "manhattan"}, "metric"),
        ({"positive": "w1", "topn": 0}, "topn"),
        ({"positive": np.ones(3, np.float32)}, "7 dimensions"),
        ({"positive": "w1", "negative": "w1"}, "zero vector"),
    ],
)
def test_bad_questions(arguments, message):
    with pytest.raises(UserError, match=message):
        make().nearest(**arguments)


def test_memory_map_stays_on_disk_and_shows_damage_when_read(tmp_path):
    emb = make()
    save(emb, tmp_path / "native")
    mapped = load(tmp_path / "native", mmap=True, limit=50)
    assert isinstance(mapped.vectors, np.memmap) and len(mapped) == 50
    assert mapped.nearest("w3", topn=5) == make().head(50).nearest("w3", topn=5)
    damaged = np.load(tmp_path / "native" / "vectors.npy", mmap_mode="r+")
    damaged[20, 2] = np.nan
    damaged.flush()
    with pytest.raises(UserError, match="'w20'.*NaN"):
        load(tmp_path / "native", mmap=True).nearest("w3", metric="euclidean")
    with pytest.raises(UserError, match="row 20.*'w20'.*NaN"):
        load(tmp_path / "native")
