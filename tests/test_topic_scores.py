"""Scores of topics against loops written out over documents and windows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp

from w2v_jax.evaluation import topics

TEXTS = [[0, 1, 2, 0, 5, 1], [3, 4], [0, 1, 5, 5, 2, 3, 4, 1], [], [2, 2, 2], [4, 0, 6, 3, 1]]
TOPS = np.array([[0, 1, 2], [3, 4, 0], [5, 2, 6]])


def windows(size: int) -> list[set[int]]:
    """Every context; size 0: documents."""
    if not size:
        return [set(text) for text in TEXTS]
    found = []
    for text in TEXTS:
        for start in range(max(len(text) - size + 1, 1) if text else 0):
            found.append(set(text[start : start + size]))
    return found


def pair_npmi(contexts: list[set[int]], a: int, b: int) -> float:
    n = len(contexts)
    of_a, of_b = sum(a in c for c in contexts) / n, sum(b in c for c in contexts) / n
    both = sum(a in c and b in c for c in contexts) / n
    return -1.0 if both == 0 else math.log(both / (of_a * of_b)) / -math.log(both)


def counted(size: int) -> topics.Contexts:
    rows = sp.csr_matrix(np.array([np.bincount(text, minlength=7) for text in TEXTS]))
    offsets = np.append(0, np.cumsum([len(text) for text in TEXTS]))
    tokens = np.array([w for text in TEXTS for w in text], np.uint16)
    return topics.windows(tokens, offsets, TOPS, size) if size else topics.documents(rows, TOPS)


@pytest.mark.parametrize("size", [0, 2, 3, 100])
def test_npmi_is_that_of_the_loops(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    want = [np.mean([pair_npmi(windows(size), a, b) for a, b in itertools.combinations(top, 2)]) for top in TOPS]
    whole = counted(size)
    np.testing.assert_allclose(topics.npmi(whole, TOPS), want, rtol=0, atol=1e-12)
    assert whole.total == len(windows(size))
    blocks = topics._blocks
    monkeypatch.setattr(topics, "_blocks", lambda offsets: blocks(offsets, 4))
    assert all(np.array_equal(a, b) for a, b in zip(counted(size), whole, strict=True)), "read in parts"


def test_npmi_of_pairs_that_never_or_always_meet() -> None:
    rows = sp.csr_matrix(np.array([[2, 1, 0, 0], [1, 3, 0, 0]]))
    tops = np.array([[0, 1]])
    assert topics.npmi(topics.documents(rows, tops), tops)[0] == 1.0
    apart = sp.csr_matrix(np.array([[2, 0, 0, 0], [0, 3, 0, 0]]))
    assert topics.npmi(topics.documents(apart, tops), tops)[0] == -1.0
    missing = np.array([[0, 2]])
    assert np.isnan(topics.npmi(topics.documents(rows, missing), missing)[0])


def test_umass_is_that_of_the_loops() -> None:
    def pair(likelier: int, other: int) -> float:
        both = sum(likelier in c and other in c for c in windows(0))
        return math.log((both + 1) / sum(likelier in c for c in windows(0)))

    want = [np.mean([pair(a, b) for a, b in itertools.combinations(top, 2)]) for top in TOPS]
    np.testing.assert_allclose(topics.umass(counted(0), TOPS), want, rtol=0, atol=1e-12)


def test_top_words_and_diversity() -> None:
    weights = np.array([[0.1, 0.5, 0.4, 0.0], [0.3, 0.3, 0.0, 0.4], [0.0, 0.6, 0.4, 0.0]])
    assert topics.top_words(weights, 2).tolist() == [[1, 2], [3, 0], [1, 2]]
    assert topics.diversity(weights, 2) == pytest.approx(4 / 6)
    assert topics.diversity(np.eye(3), 1) == 1.0 and topics.diversity(np.ones((4, 9)), 25) == 9 / 36


def test_completion_scores_the_other_half() -> None:
    offsets = np.append(0, np.cumsum([len(text) for text in TEXTS]))
    (seen, at), (scored, bounds) = topics.halves(np.array([w for t in TEXTS for w in t]), offsets)
    assert [seen[a:b].tolist() for a, b in zip(at[:-1], at[1:], strict=True)] == [t[::2] for t in TEXTS]
    assert [scored[a:b].tolist() for a, b in zip(bounds[:-1], bounds[1:], strict=True)] == [t[1::2] for t in TEXTS]
    rng = np.random.default_rng(0)
    mixtures, beta = rng.dirichlet(np.ones(3), len(TEXTS)), rng.dirichlet(np.ones(7), 3)
    rows = sp.csr_matrix(np.array([np.bincount(t[1::2], minlength=7) for t in TEXTS]))
    nats = [-math.log(mixtures[d] @ beta[:, w]) for d, t in enumerate(TEXTS) for w in t[1::2]]
    assert topics.completion(mixtures, beta, rows) == pytest.approx(np.mean(nats), rel=1e-12)
