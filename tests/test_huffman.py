"""Noise distribution, alias table, subsampling and the Huffman tree against definitions written afresh."""

from __future__ import annotations

import heapq
import math
from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest

from tests.windows import clean
from w2v_jax.losses import path_loss
from w2v_jax.models.frequencies import alias_table, keep_probability, noise_probability
from w2v_jax.models.huffman import huffman_paths, split_paths

NURSE = "The nurse assisted the doctor with the patient's treatment at the hospital"


def zipf(size: int) -> np.ndarray:
    return np.maximum(10_000 // np.arange(1, size + 1), 1)


def fibonacci(size: int) -> np.ndarray:
    """Counts that make the deepest tree: every merge takes the node just made."""
    out = [1, 1]
    while len(out) < size:
        out.append(out[-1] + out[-2])
    return np.array(out[::-1], np.int64)


def test_noise_of_the_nurse_sentence() -> None:
    counted = Counter(clean(NURSE))
    words = [w for w, _ in counted.most_common()]
    assert words[0] == "the" and len(words) == 9
    noise = noise_probability(np.array([counted[w] for w in words]))
    np.testing.assert_allclose(noise, [0.26120] + [0.09235] * 8, atol=5e-6)
    assert noise.sum() == pytest.approx(1.0, abs=1e-12)


def test_noise_power_0_is_uniform_and_1_the_counts() -> None:
    counts = np.array([7, 2, 1])
    np.testing.assert_allclose(noise_probability(counts, 0.0), [1 / 3] * 3)
    np.testing.assert_allclose(noise_probability(counts, 1.0), [0.7, 0.2, 0.1])


@pytest.mark.parametrize("counts", [[5], [1, 1], [1000, 1, 1], list(zipf(997)), list(range(1, 300)), [3] * 64])
def test_alias_table_holds_the_distribution_exactly(counts: list[int]) -> None:
    probability = noise_probability(np.array(counts))
    accept, alias = alias_table(probability)
    size = len(counts)
    assert accept.dtype == np.float32 and alias.dtype == np.int32
    assert ((accept >= 0) & (accept <= 1)).all() and ((alias >= 0) & (alias < size)).all()
    rebuilt = accept.astype(np.float64) / size
    np.add.at(rebuilt, alias, (1.0 - accept.astype(np.float64)) / size)
    # Each place rounds to float32 once; a frequent word gathers the rounding of many.
    np.testing.assert_allclose(rebuilt, probability, rtol=2e-6, atol=1e-9)


def test_subsampling_is_the_c_tools() -> None:
    counts, sample = np.array([60_000, 9_000, 700, 40, 5, 0]), 1e-3
    total = int(counts.sum())
    for count, keep in zip(counts.tolist(), keep_probability(counts, sample).tolist(), strict=True):
        # word2vec.c: ran = (sqrt(cn / (sample * train_words)) + 1) * (sample * train_words) / cn; skip if ran < random
        chance = (math.sqrt(count / (sample * total)) + 1) * (sample * total) / count if count else 1.0
        assert keep == pytest.approx(min(1.0, chance), rel=1e-12)
    assert keep_probability(counts, sample)[0] < 0.05 and keep_probability(counts, sample)[4] == 1.0
    assert (keep_probability(counts, 0.0) == 1.0).all()


def least_cost(counts: np.ndarray) -> int:
    """Total bits of any optimal prefix code: the sum of all merged weights."""
    heap = counts.tolist()
    heapq.heapify(heap)
    cost = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        cost += merged
        heapq.heappush(heap, merged)
    return cost


TREES = [
    np.array([3, 2]),
    np.array([4] + [1] * 8),
    zipf(500),
    fibonacci(30),
    np.array([5] * 37),
    np.array([1, 9, 4, 9]),
]


@pytest.mark.parametrize("counts", TREES, ids=["two", "nurse", "zipf", "fibonacci", "equal", "unsorted"])
def test_huffman_code_is_optimal_and_prefix_free(counts: np.ndarray) -> None:
    _, signs = huffman_paths(counts)
    lengths = (signs != 0).sum(1)
    assert signs.shape == (len(counts), lengths.max())
    assert (lengths * counts).sum() == least_cost(counts)
    codes = ["".join("0" if s > 0 else "1" for s in row[:n]) for row, n in zip(signs, lengths, strict=True)]
    assert not any(b.startswith(a) for a, b in zip(sorted(codes), sorted(codes)[1:], strict=False))
    by_count = lengths[np.argsort(-counts, kind="stable")]
    falling = np.sort(counts)[::-1]
    assert (np.diff(by_count)[np.diff(falling) < 0] >= 0).all(), "a more frequent word has a longer code"


@pytest.mark.parametrize("counts", TREES, ids=["two", "nurse", "zipf", "fibonacci", "equal", "unsorted"])
def test_probabilities_of_the_tree_sum_to_one(counts: np.ndarray) -> None:
    nodes, signs = huffman_paths(counts)
    assert (nodes[:, 0] == 0).all(), "paths start at the root"
    assert set(nodes[signs != 0].tolist()) == set(range(len(counts) - 1)), "every inner node is used"
    rng = np.random.default_rng(0)
    hidden, table = rng.standard_normal(4), rng.standard_normal((len(counts) - 1, 4))
    same = np.broadcast_to(hidden, (len(counts), 1, 4))
    loss = path_loss(*(jnp.asarray(x, jnp.float32) for x in (same, table[nodes], signs)))
    assert np.exp(-np.asarray(loss, np.float64)).sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("counts", TREES, ids=["two", "nurse", "zipf", "fibonacci", "equal", "unsorted"])
def test_nodes_are_numbered_by_falling_count(counts: np.ndarray) -> None:
    nodes, signs = huffman_paths(counts)
    uses = np.zeros(len(counts) - 1, np.int64)
    for path, turns, count in zip(nodes, signs, counts, strict=True):
        uses[path[turns != 0]] += count
        assert (np.diff(path[turns != 0]) > 0).all(), "a parent comes first"
    assert uses[0] == counts.sum() and (np.diff(uses) <= 0).all()


@pytest.mark.parametrize("counts", TREES, ids=["two", "nurse", "zipf", "fibonacci", "equal", "unsorted"])
def test_split_paths_joined_again_are_the_paths(counts: np.ndarray) -> None:
    nodes, signs = huffman_paths(counts)
    for top in {1, min(2, len(counts) - 1), len(counts) // 2, len(counts) - 1}:
        exits, exit_signs, rest, rest_signs = split_paths(nodes, signs, top)
        assert exit_signs.shape == (top + 1, top) and set(exits.tolist()) == set(range(top + 1))
        assert rest.shape[1] == max(
            int(((turns != 0) & (path >= top)).sum()) for path, turns in zip(nodes, signs, strict=True)
        )
        for word, (path, turns) in enumerate(zip(nodes, signs, strict=True)):
            above = [(n, s) for n, s in enumerate(exit_signs[exits[word]].tolist()) if s]
            below = [(n, s) for n, s in zip(rest[word].tolist(), rest_signs[word].tolist(), strict=True) if s]
            assert above + below == [(n, s) for n, s in zip(path.tolist(), turns.tolist(), strict=True) if s]
            assert all(n >= top for n, _ in below) and not rest[word, len(below) :].any()


def test_the_deepest_tree_of_a_trillion_words_fits_the_bound() -> None:
    size = 2
    while fibonacci(size + 1).sum() <= 2**40:
        size += 1
    assert huffman_paths(fibonacci(size))[1].shape == (size, size - 1)
    assert size - 1 <= 58


def test_one_word_has_no_tree() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        huffman_paths(np.array([5]))
