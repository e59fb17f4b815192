"""Weights of words in documents and search among them: worked examples, scikit-learn, and formulas by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

from w2v_jax.data import search, weighting

# Documents of different lengths, one of them empty.
COUNTS = np.array([[3, 0, 1, 0], [0, 2, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 4, 1]], np.int32)


@pytest.fixture
def rows() -> sp.csr_matrix:
    return sp.csr_matrix(COUNTS)


def seen(rows: sp.csr_matrix) -> weighting.Collection:
    """In two parts, as blocks of a text come."""
    return weighting.collection([rows[:2], rows[2:]], rows.shape[1])


def test_shares_fix_magnitude() -> None:
    books = weighting.shares(sp.csr_matrix([[10, 1], [200, 1], [0, 0]])).toarray()
    np.testing.assert_allclose(books, [[10 / 11, 1 / 11], [200 / 201, 1 / 201], [0, 0]], rtol=1e-6)
    one, two, none = weighting.unit(sp.csr_matrix([[10, 1], [200, 1], [0, 0]])).toarray()
    assert one @ two == pytest.approx(0.99552, abs=5e-6) and not none.any()


def test_statistics_of_a_collection_that_comes_in_parts(rows: sp.csr_matrix) -> None:
    found = seen(rows)
    assert (found.documents, found.empty, found.tokens, found.mean_length) == (5, 1, COUNTS.sum(), COUNTS.sum() / 5)
    np.testing.assert_array_equal(found.frequencies, (COUNTS > 0).sum(0))
    np.testing.assert_array_equal(found.counts, COUNTS.sum(0))


@pytest.mark.parametrize("sublinear", [False, True])
def test_tfidf_is_that_of_scikit_learn(rows: sp.csr_matrix, sublinear: bool) -> None:
    from sklearn.feature_extraction.text import TfidfTransformer

    want = TfidfTransformer(sublinear_tf=sublinear).fit_transform(rows).toarray()
    found = weighting.tfidf(rows, weighting.inverse_frequency(seen(rows)), sublinear)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), want, atol=1e-6)


def test_log_entropy_by_hand(rows: sp.csr_matrix) -> None:
    share = COUNTS / COUNTS.sum(0)
    logs = np.log(np.where(share > 0, share, 1.0))
    weights = 1 + (share * logs).sum(0) / math.log(len(COUNTS))
    np.testing.assert_allclose(weighting.entropy(seen(rows)), weights, rtol=1e-6)
    found = weighting.log_entropy(rows, weighting.entropy(seen(rows))).toarray()
    np.testing.assert_allclose(found, np.log1p(COUNTS) * weights, rtol=1e-6)
    alone = weighting.entropy(weighting.collection([rows[:1]], 4))
    np.testing.assert_array_equal(alone, np.ones(4))


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (2.0, 0.0), (0.5, 1.0)])
def test_bm25_by_hand(rows: sp.csr_matrix, k1: float, b: float) -> None:
    found = weighting.bm25(rows, seen(rows), k1, b).toarray()
    mean = COUNTS.sum() / 5
    for d, w in np.ndindex(COUNTS.shape):
        c, n = float(COUNTS[d, w]), int((COUNTS[:, w] > 0).sum())
        idf = math.log(1 + (5 - n + 0.5) / (n + 0.5))
        want = idf * c * (k1 + 1) / (c + k1 * (1 - b + b * COUNTS[d].sum() / mean)) if c else 0.0
        assert found[d, w] == pytest.approx(want, rel=1e-5)


def test_search_finds_what_all_products_would(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(3)
    documents = sp.csr_matrix(drawn.poisson(0.15, (300, 40)))
    queries = sp.csr_matrix(np.vstack([documents[:20].toarray(), np.zeros((1, 40), np.int64)]))
    index = search.inverted(weighting.unit(documents))
    monkeypatch.setattr(search, "_SCORES", 2000)  # blocks of 6 queries
    found = search.best(index, weighting.unit(queries), 7)
    every = (weighting.unit(queries) @ weighting.unit(documents).T).toarray()
    assert len(found) == 21
    for scores, hits in zip(every, found, strict=True):
        order = np.lexsort((np.arange(300), -scores))[:7]
        want = order[scores[order] > 0]
        np.testing.assert_array_equal(hits.documents, want)
        np.testing.assert_allclose(hits.scores, scores[want], rtol=1e-6)
    assert len(found[-1].documents) == 0, "a query without a known word finds nothing"


def test_dense_search_is_by_cosine_and_leaves_out_vectors_of_zeros() -> None:
    documents = np.array([[1, 0], [0, 0], [5, 5], [-2, 0], [0, 1]], np.float32)
    hits = search.best_dense(documents, np.array([3, 0], np.float32), 9)
    assert hits.documents.tolist() == [0, 2, 4, 3]
    np.testing.assert_allclose(hits.scores, [1, math.sqrt(0.5), 0, -1], atol=1e-6)
    assert len(search.best_dense(documents, np.zeros(2, np.float32), 9).documents) == 0
