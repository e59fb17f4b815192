"""gensim's names: the same answers as gensim's on the same vectors; and the examples of docs/vectors.md."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance_nd

from tests.commands import ROOT
from w2v_jax import embeddings
from w2v_jax.approximate import Approximate
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError
from w2v_jax.formats import Subwords

WORDS = ["king", "queen", "man", "woman", "doctor", "nurse", "car", "obama", "speaks", "media", "illinois", "president"]
WORDS += ["greets", "press", "chicago"]


def make(v: int = 300, d: int = 12) -> Embeddings:
    rng = np.random.default_rng(0)
    words = WORDS + [f"w{i}" for i in range(v - len(WORDS))]
    return Embeddings(words, rng.normal(0, 2, (v, d)).astype(np.float32), np.arange(v, 0, -1))


@pytest.fixture(scope="module")
def both():
    """Ours and gensim's object of the same vectors."""
    emb = make()
    kv = pytest.importorskip("gensim.models").KeyedVectors(emb.dim)
    kv.add_vectors(list(emb.words), emb.vectors)
    kv.set_vecattr("king", "count", 300)
    return emb, kv


VECTOR = np.linspace(-1, 1, 12).astype(np.float32)
QUERIES = [
    lambda x: x.most_similar("king"),
    lambda x: x.most_similar(["king", "woman"], ["man"], topn=5),
    lambda x: x.most_similar(positive=["king", ("woman", 0.5), VECTOR], negative=[("man", -2.0)], restrict_vocab=80),
    lambda x: x.most_similar(VECTOR, topn=3),
    lambda x: x.most_similar([VECTOR, "king"], topn=3),
    lambda x: x.most_similar(negative="king", topn=3),
    lambda x: x.similar_by_word("queen", 4),
    lambda x: x.similar_by_key("queen", 4),
    lambda x: x.similar_by_vector(VECTOR, 4, 50),
    lambda x: x.most_similar_cosmul(["king", "woman"], ["man"], topn=5),
    lambda x: [(x.doesnt_match(["king", "queen", "man", "car"]), 0)],
    lambda x: [(x.doesnt_match(["king", "nosuchword", "man", "car"]), 0)],
    lambda x: [(word, score) for score, word in x.rank_by_centrality(["king", "queen", "car"])],
    lambda x: [(word, score) for score, word in x.rank_by_centrality(["king", "queen", "car"], use_norm=False)],
    lambda x: x.similar_by_vector("king", 4),
    lambda x: [(word, 0) for word in x.closer_than("king", "queen")],
]


@pytest.mark.parametrize("ask", QUERIES, ids=range(len(QUERIES)))
def test_ranked_words_are_gensims(both, ask):
    ours, theirs = (ask(x) for x in both)
    assert [w for w, _ in ours] == [w for w, _ in theirs] and ours
    np.testing.assert_allclose([s for _, s in ours], [s for _, s in theirs], atol=2e-6)


NUMBERS = [
    lambda x: x["king"],
    lambda x: x[["king", "queen", "king"]],
    lambda x: x.get_vector("king", norm=True),
    lambda x: x.get_normed_vectors(),
    lambda x: x.get_mean_vector(["king", "nosuchword", VECTOR], [1.0, 5.0, -0.5]),
    lambda x: x.get_mean_vector(["king", "queen"], pre_normalize=False, post_normalize=True),
    lambda x: x.most_similar("king", topn=None),
    lambda x: x.most_similar_cosmul("king", "queen", topn=None),
    lambda x: x.similarity("king", "queen"),
    lambda x: x.n_similarity(["king", "queen", "nosuchword"], ["man"]),
    lambda x: x.rank("king", "queen"),
    lambda x: [
        len(x),
        x.vector_size,
        x.get_index("man"),
        x.get_index("no", default=-1),
        x.get_vecattr("king", "count"),
    ],
    lambda x: ["king" in x, "nosuchword" in x, x.key_to_index["man"], x.index_to_key.index("man")],
]


@pytest.mark.parametrize("ask", NUMBERS, ids=range(len(NUMBERS)))
def test_numbers_are_gensims(both, ask):
    ours, theirs = (ask(x) for x in both)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize("norm", [True, False])
def test_word_movers_distance(both, norm):
    """Against the best assignment where all words weigh the same, and against gensim's where its library is there."""
    emb, kv = both
    one, two = ["obama", "speaks", "media", "illinois"], ["president", "greets", "press", "chicago"]
    units = emb.get_normed_vectors() if norm else emb.vectors
    cost = cdist(*(units[[emb.index[w] for w in words]].astype(np.float64) for words in (one, two)))
    best = cost[linear_sum_assignment(cost)].mean()
    assert emb.wmdistance([*one, "nosuchword"], two, norm=norm) == pytest.approx(best, rel=1e-6)
    assert emb.wmdistance(one, one) == pytest.approx(0, abs=1e-6) and emb.wmdistance(one, ["none"]) == float("inf")
    # Weights 2/3 and 1/3 onto one word: the mean of the costs.
    weighted = emb.wmdistance(["king", "king", "man"], ["car", "car"], norm=False)
    apart = [np.linalg.norm(emb[w].astype(np.float64) - emb["car"]) for w in ("king", "man")]
    assert weighted == pytest.approx((2 * apart[0] + apart[1]) / 3, rel=1e-6)
    pytest.importorskip("ot")
    uneven = ["king", "king", "man", "queen"], ["car", "doctor", "doctor", "nurse", "w7"]
    assert emb.wmdistance(*uneven, norm=norm) == pytest.approx(kv.wmdistance(*uneven, norm=norm), rel=1e-5)


def test_the_vector_of_a_word_is_read_only_and_the_table_is_not():
    emb = make()
    kept = emb.vectors.copy()
    for vector in (emb["king"], emb.get_vector("king"), emb.vector("king")):
        assert np.shares_memory(vector, emb.vectors)
        with pytest.raises(ValueError, match="read-only"):
            vector -= emb["man"]
    able = Embeddings(emb.words, emb.vectors, emb.counts, Subwords(np.eye(20, 12, dtype=np.float32), 3, 4))
    with pytest.raises(ValueError, match="read-only"):
        able["king"][0] = 0
    emb[["king"]][0, 0] = emb.get_vector("king", norm=True)[0] = 7  # copies
    np.testing.assert_array_equal(emb.vectors, kept)
    emb.vectors[0, 0] = 7
    assert emb["king"][0] == 7


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda x: x.doesnt_match(["king", "zz", "man", "car", "yy"]), "2 of 5 words without a vector left out: 'zz'"),
        (lambda x: x.rank_by_centrality(["king", "zz"]), "1 of 2 words without a vector left out: 'zz'"),
        (lambda x: x.n_similarity(["king", "zz"], ["man"]), "1 of 2 words"),
        (lambda x: x.wmdistance(["king"], ["zz", "man"]), "1 of 2 words"),
    ],
)
def test_words_left_out_are_counted(ask, said):
    with pytest.warns(UserWarning, match=said):
        ask(make())


def test_words_in_an_array_and_other_forms_of_unicode():
    emb = make()
    assert emb.most_similar(np.array(["king", "queen"])) == emb.most_similar(["king", "queen"])
    vector = emb["king"].astype(np.float64)
    for same in (vector.tolist(), tuple(vector.tolist()), vector.astype(object), vector):
        assert emb.similar_by_vector(same)[0][0] == emb.similar_by_vector(vector)[0][0] == "king"
    accented = Embeddings(["caf\u00e9", "tea"], emb.vectors[:2])
    assert repr(accented) == "<Embeddings of 2 words, 12 dimensions>"
    with pytest.raises(UserError, match="'caf\u00e9' is, with composed characters"):
        accented["cafe\u0301"]


def test_a_row_of_nan_is_named():
    emb = Embeddings(["good", "bad"], np.array([[1, 2], [1, np.nan]], np.float32))
    for ask in (emb.distance, lambda a, b: emb.n_similarity([a], [b])):
        with pytest.raises(UserError, match="vector of 'bad': holds a NaN"):
            ask("good", "bad")


def test_shared_words_stay_where_they_are():
    """The distance is that of the whole programme, which does not leave them out."""
    emb = make()
    one, two = ["king", "queen", "man", "doctor", "king", "w7"], ["king", "king", "car", "nurse", "w7", "woman", "w9"]
    bags = [{word: words.count(word) / len(words) for word in words} for words in (one, two)]
    places = [np.stack([emb.get_vector(w, norm=True) for w in bag]).astype(np.float64) for bag in bags]
    whole = wasserstein_distance_nd(*places, *(list(bag.values()) for bag in bags))
    assert emb.wmdistance(one, two) == pytest.approx(whole, rel=1e-6)
    assert emb.wmdistance(["king", "car"], ["car", "king", "king", "car"]) == 0.0


def test_unseen_words_have_vectors_where_ngrams_make_them():
    emb = make()
    able = Embeddings(emb.words, emb.vectors, emb.counts, Subwords(np.eye(20, 12, dtype=np.float32), 3, 4))
    assert able[["king", "kingly"]].shape == (2, 12)
    np.testing.assert_array_equal(able[["king", "kingly"]][1], able.vector("kingly"))
    assert able.n_similarity(["kingly"], ["kingly"]) == pytest.approx(1) and "kingly" not in able
    assert list(able)[:2] == ["king", "queen"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda x: x["kingg"], "word 'kingg' is not among the 300 words.*king"),
        (lambda x: x[["king", "kingg"]], "'kingg' is not among"),
        (lambda x: x.most_similar("kingg"), "'kingg' is not among"),
        (lambda x: x.most_similar([]), "no word to look up"),
        (lambda x: x.most_similar_cosmul(negative="king"), "no word to look up"),
        (lambda x: x.most_similar("king", "king"), "zero vector"),
        (lambda x: x.most_similar(np.ones(3, np.float32)), "12 dimensions"),
        (lambda x: x.n_similarity([], ["king"]), "no word to take the mean of"),
        (lambda x: x.get_mean_vector(["king"], [1.0, 2.0]), "2 weights for 1 words"),
        (lambda x: x.doesnt_match(["no", "none"]), "none of the words"),
        (lambda x: x.get_vecattr("king", "size"), "count only"),
        (lambda x: x.rank("king", "kingg"), "'kingg' is not among"),
        (lambda x: x.doesnt_match(["king", "man"]), "2 of the words have a vector; give at least three"),
        (lambda x: x.doesnt_match([3, "king", "man", "car"]), "word 3: must be a string"),
        (lambda x: x.wmdistance(["king"], [None]), "word None: must be a string"),
        (lambda x: x.odd_one_out("abc"), "words='abc': must be a list of words"),
        (lambda x: x.odd_one_out([["king"], "man", "car"]), "word .'king'.: must be a string"),
        (lambda x: x.find(3), "word 3: must be a string"),
        (lambda x: x.head(-3), "head=-3: must be a whole number of at least 0"),
        (lambda x: x.most_similar_cosmul([("king", 0.5)]), "3CosMul has a weight"),
        (lambda x: x.most_similar_cosmul("king", [("man", -2.0)]), "3CosMul has a weight"),
        (lambda x: x.most_similar("king", restrict_vocab="5"), "restrict_vocab='5': must be a whole number"),
        (lambda x: x.most_similar("king", restrict_vocab=-5), "restrict_vocab=-5: must be a whole number"),
        (lambda x: x.most_similar_cosmul("king", restrict_vocab=2.5), "restrict_vocab=2.5: must be a whole number"),
        (lambda x: x.nearest("king", restrict=-5), "restrict=-5: must be a whole number"),
        (lambda x: x.nearest("king", topn=True), "topn=True: must be a whole number"),
        (lambda x: x.nearest(3), "query 3: must be a word, a vector or a list of them"),
        (lambda x: x.nearest(None), "no word to look up"),
        (lambda x: x.most_similar("king", indexer=5), "indexer=5: must be an index"),
        (lambda x: x.get_mean_vector(["king", "man"], weights=2), "weights=2: must be a list of numbers"),
        (lambda x: x.get_mean_vector(["king"], weights="a"), "weights='a': must be a list of numbers"),
        (lambda x: x.get_mean_vector(["king"], weights=["a"]), "weights=.'a'.: must be a list of numbers"),
        (lambda x: Approximate(x, None).most_similar(x["king"], "3"), "topn='3': must be a whole number"),
        (lambda x: Approximate.build(x, links=1), "links=1: must be a whole number of at least 2"),
        (lambda x: Approximate.build(x, links="a"), "links='a': must be a whole number"),
        (lambda x: Approximate.open("none", x, search=0), "search=0: must be a whole number of at least 1"),
        (lambda x: x[b"king"], "word 107: must be a string"),
        (lambda x: x[["king", None]], "word None: must be a string"),
        (lambda x: x.most_similar(5), "query 5: must be a word, a vector or a list of them"),
        (lambda x: x.most_similar(["king", None]), "query None: must be a word or a vector"),
        (lambda x: x.most_similar([["king"]]), "query .'king'.: must be a word or a vector"),
        (lambda x: x.nearest(["king", 3]), "query 3: must be a word or a vector"),
        (lambda x: x.most_similar(np.full(12, np.nan, np.float32)), "query vector: holds a NaN"),
        (lambda x: x.similar_by_vector(np.full(12, np.inf)), "query vector: holds a NaN, an infinity or too large"),
        (lambda x: x.most_similar([("king", float("nan"))]), "a weight of a word is a NaN"),
        (lambda x: x.most_similar(np.full(12, 1e300)), "too large a number"),
        (lambda x: x.most_similar(np.ones(12) + 1j), "must be a word or a vector"),
        (lambda x: x.similar_by_vector("no"), "'no' is not among"),
        (lambda x: x.similar_by_vector([0.0] * 300), "query vector of shape .300,.: must have 12 dimensions"),
        (lambda x: x.most_similar([("king", None)]), "must be .word or vector, weight."),
        (lambda x: x.most_similar([("king", 1, 2)]), "must be .word or vector, weight."),
        (lambda x: x[5], "words=5: must be a list of words"),
        (lambda x: x[[["king"]]], "word .'king'.: must be a string"),
        (lambda x: x.n_similarity("king", ["queen"]), "words='king': must be a list of words"),
        (lambda x: x.get_mean_vector(5), "words=5: must be a list of words"),
        (lambda x: x.doesnt_match("king queen"), "words='king queen': must be a list"),
        (lambda x: x.wmdistance(5, ["king"]), "words=5: must be a list of words"),
        (lambda x: x.most_similar("king", topn=2.5), "topn=2.5: must be a whole number"),
        (lambda x: x.most_similar("king", topn="3"), "topn='3': must be a whole number"),
        (lambda x: x.most_similar("king", restrict_vocab=5, indexer=x), "restrict_vocab=5: an index is searched whole"),
    ],
)
def test_mistakes_are_one_line(ask, message):
    with pytest.raises(UserError, match=message) as caught:
        ask(make())
    assert "\n" not in str(caught.value)
    if "is not among" in message:
        assert isinstance(caught.value, KeyError)


def test_a_graph_finds_the_neighbours(tmp_path):
    pytest.importorskip("faiss")
    emb = make(4000, 16)
    index = Approximate.build(emb)
    index.save(tmp_path / "graph.faiss")
    again = Approximate.open(tmp_path / "graph.faiss", emb)
    found = total = 0
    for word in emb.words[:100]:
        exact = [w for w, _ in emb.most_similar(emb[word], topn=10)]
        near = emb.most_similar(word, topn=10, indexer=index)
        assert [w for w, _ in near] == [w for w, _ in again.most_similar(emb[word], 10)]
        assert near[0] == (word, pytest.approx(1, abs=1e-5))
        found, total = found + len({w for w, _ in near} & set(exact)), total + 10
    assert found / total > 0.95
    (tmp_path / "damaged").write_bytes((tmp_path / "graph.faiss").read_bytes()[:500])
    with pytest.raises(UserError, match="damaged"):
        Approximate.open(tmp_path / "damaged", emb)
    with pytest.raises(UserError, match=r"4,000 words .* 300 of"):
        Approximate.open(tmp_path / "graph.faiss", make())
    with pytest.raises(UserError, match="no such file"):
        Approximate.open(tmp_path / "none", emb)
    other = Embeddings(emb.words, np.concatenate([emb.vectors[:-1], emb.vectors[:1]]))
    with pytest.raises(UserError, match=f"another vector of '{emb.words[-1]}'"):
        Approximate.open(tmp_path / "graph.faiss", other)


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[approximate\]'"):
        Approximate.build(make())


def test_the_examples_of_the_documentation_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "vectors.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("runs/mine").mkdir(parents=True)
    save(make(), "runs/mine/vectors.bin")
    monkeypatch.setattr(
        embeddings, "load", lambda path, **options: dataclasses.replace(load(path), counts=make().counts)
    )
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/vectors.md", "exec"), names)  # noqa: S102
    assert isinstance(names["emb"], Embeddings)
