"""Clusters of context vectors: on planted clouds, and their scores against counts by hand; the posterior of a planted
sense against the sum over all hidden topics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from w2v_jax.config import SyntheticConfig
from w2v_jax.data.bayes import Language
from w2v_jax.errors import UserError
from w2v_jax.evaluation.induction import CHOICES, Match, induce, match, mean_match


def clouds(sizes: tuple[int, ...], noise: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(vectors around as many axes, of any length, the cloud of each)."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    vectors = np.eye(8)[labels] + noise * rng.standard_normal((len(labels), 8))
    order = rng.permutation(len(labels))
    return (vectors * rng.uniform(0.5, 3.0, (len(labels), 1)))[order], labels[order]


@pytest.mark.parametrize(("method", "choose"), [("kmeans", "silhouette"), ("gmm", "bic"), ("kmeans", "bic")])
@pytest.mark.parametrize("sizes", [(60, 30), (50, 40, 20)])
def test_planted_clouds_and_their_number_are_found(method: str, choose: str, sizes: tuple[int, ...]) -> None:
    vectors, cloud = clouds(sizes)
    found = induce(vectors, 0, method, choose)
    np.testing.assert_array_equal(found.labels, cloud), "clusters are numbered by falling size"
    assert found.silhouette > 0.5
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found.centres[1], unit[cloud == 1].mean(0), atol=1e-12)


def test_one_cloud_is_one_cluster_and_equal_vectors_cannot_be_split() -> None:
    rng = np.random.default_rng(1)
    alone = induce(np.eye(1, 8) + 0.3 * rng.standard_normal((80, 8)))
    assert alone.labels.max() == 0 and np.isnan(alone.silhouette)
    assert induce(np.ones((9, 4)), 2).labels.max() == 0
    assert induce(np.ones((1, 4))).labels.tolist() == [0]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_of_few_vectors_not_each_is_a_cluster(count: int) -> None:
    vectors = np.random.default_rng(count).standard_normal((count, 8))
    for choose in CHOICES:
        assert induce(vectors, choose=choose).labels.max() + 1 < count
    assert induce(vectors, count).labels.max() + 1 == count, "where it is asked for"


def test_what_cannot_be_clustered_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'kmeans'"):
        induce(np.ones((9, 4)), method="kmean")
    with pytest.raises(UserError, match="4 clusters of 3 vectors"):
        induce(np.eye(3), 4)
    with pytest.raises(UserError, match="of finite numbers"):
        induce(np.full((3, 2), np.nan))


def test_scores_of_clusters() -> None:
    """Senses a (6) and b (4); clusters 0 (4 a, 1 b), 1 (3 b) and 2 (2 a): 4 + 3 right. Pairs by hand for Rand's."""
    senses = np.array(list("aaaabbbbaa"))
    clusters = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    found = match(senses, clusters)
    assert (found.accuracy, found.majority, found.occurrences) == (0.7, 0.6, 10)
    both = sum(a == b and c == d for (a, c), (b, d) in itertools.combinations(zip(senses, clusters, strict=True), 2))
    same = [sum(x == y for x, y in itertools.combinations(of.tolist(), 2)) for of in (senses, clusters)]
    chance = same[0] * same[1] / 45
    assert found.rand == pytest.approx((both - chance) / (sum(same) / 2 - chance))

    def entropy(counts: list[int]) -> float:
        share = np.array(counts) / sum(counts)
        return float(-(share * np.log(share)).sum())

    joint = entropy([4, 1, 3, 2])
    homogeneity = 1 - (joint - entropy([5, 3, 2])) / entropy([6, 4])
    completeness = 1 - (joint - entropy([6, 4])) / entropy([5, 3, 2])
    assert found.v_measure == pytest.approx(2 * homogeneity * completeness / (homogeneity + completeness))
    perfect = match(senses, senses)
    assert perfect[:4] == (1.0, 0.6, 1.0, 1.0)
    assert mean_match([found, Match(1.0, 0.6, 1.0, 1.0, 30)]).accuracy == pytest.approx((7 + 30) / 40)
    with pytest.raises(ValueError, match="one length"):
        match([], [])


def test_the_posterior_of_a_sense_is_the_sum_over_all_topics() -> None:
    cfg = SyntheticConfig(words=40, topics=3, senses=6, distances="1,2", switch=0.3, lead=0.5, tail=1.0, tokens=400)
    language = Language.from_config(cfg)
    g, text = language.grammar, language.generate(400, 1)
    ids = np.stack([text.ids[i : i + 14] for i in (0, 50, 151, 202)])
    assert (ids == 0).sum(1).max() >= 2, "passages of several sentences"
    at = np.array([6, 3, 10, 0])
    padded = np.pad(ids, ((0, 0), (0, 2)), constant_values=-1)
    for causal in (False, True):
        for row, place, got in zip(ids, at, language.topic_posterior(padded, at, causal), strict=True):
            read = row[: place + 1] if causal else row
            sentence = np.concatenate([[0], np.cumsum(read == 0)[:-1]])
            want = np.zeros(3)
            for topics in itertools.product(range(3), repeat=int(sentence.max()) + 1):
                p = 1 / 3
                for a, b in itertools.pairwise(topics):
                    p *= (1 - g.switch) * (a == b) + g.switch / 3
                p *= np.prod(g.emission[np.array(topics)[sentence], read])
                want[topics[sentence[place]]] += p
            np.testing.assert_allclose(got, want / want.sum(), atol=1e-12)
