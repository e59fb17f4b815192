"""Noise distribution and Huffman tree of word2vec, built once from word counts on the host."""

from __future__ import annotations

import heapq

import numpy as np


def keep_probability(counts: np.ndarray, sample: float) -> np.ndarray:
    """Chance that a token survives subsampling, min(1, (sqrt(f / s) + 1) s / f) with f its share of the text.

    The formula is that of the C tool, which differs from 1 - sqrt(s / f) printed in Mikolov et al. 2013b.

    Args:
      counts: [V] counts.
      sample: s, e.g. 1e-3; 0 keeps every token.

    Returns:
      float64 [V].
    """
    if sample <= 0:
        return np.ones(len(counts))
    share = np.maximum(counts, 1) / max(counts.sum(), 1)
    return np.minimum(1.0, (np.sqrt(share / sample) + 1.0) * sample / share)


def noise_probability(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """Noise distribution of negative sampling, counts^power normalised; float64 [V]."""
    weights = counts.astype(np.float64) ** power
    return weights / weights.sum()


def alias_table(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walker's alias table: draw v uniformly, keep it with chance accept[v], else take alias[v].

    Exact for any vocabulary, where a float32 cumulative sum would lose the rare words of a large one.

    Args:
      probability: float64 [V], sums to 1.

    Returns:
      (accept float32 [V], alias int32 [V]).
    """
    size = len(probability)
    scaled = probability * size
    accept, alias = np.ones(size), np.arange(size)
    small = [int(i) for i in np.flatnonzero(scaled < 1.0)]
    large = [int(i) for i in np.flatnonzero(scaled >= 1.0)]
    while small and large:
        low, high = small.pop(), large[-1]
        accept[low], alias[low] = scaled[low], high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            small.append(large.pop())
    return accept.astype(np.float32), alias.astype(np.int32)


def huffman_paths(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Binary Huffman tree over the vocabulary: frequent words get short codes.

    Args:
      counts: [V], V >= 2.

    Returns:
      nodes: int32 [V, P], inner nodes from the root (number V - 2) to the word's parent; 0 beyond the end.
      signs: int8 [V, P], +1 for code 0, -1 for code 1, 0 beyond the end. P is the longest code.
    """
    size = len(counts)
    if size < 2:
        raise ValueError(f"a Huffman tree needs at least 2 words, got {size}")
    heap = [(int(c), i) for i, c in enumerate(counts)]
    heapq.heapify(heap)
    parent, code = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, np.int8)
    for node in range(size, 2 * size - 1):
        (a, left), (b, right) = heapq.heappop(heap), heapq.heappop(heap)
        parent[left], parent[right], code[right] = node, node, 1
        heapq.heappush(heap, (a + b, node))
    root = 2 * size - 2
    depth = np.zeros(2 * size - 1, np.int64)
    for node in range(root - 1, -1, -1):  # a parent always has a higher number than its children
        depth[node] = depth[parent[node]] + 1
    longest = int(depth[:size].max())
    nodes, signs = np.zeros((size, longest), np.int32), np.zeros((size, longest), np.int8)
    at, words = np.arange(size), np.arange(size)
    while len(words):
        place = depth[at] - 1
        nodes[words, place] = parent[at] - size
        signs[words, place] = 1 - 2 * code[at]
        at = parent[at]
        going = at != root
        at, words = at[going], words[going]
    return nodes, signs
