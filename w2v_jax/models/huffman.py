"""The Huffman tree of hierarchical softmax, built once from word counts, on the host."""

from __future__ import annotations

import heapq

import numpy as np


def huffman_paths(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Binary Huffman tree over the vocabulary: frequent words get short codes.

    Args:
      counts: [V], V >= 2.

    Returns:
      nodes: int32 [V, P], inner nodes from the root (number 0) to the word's parent; 0 beyond the end. Numbers follow
        falling counts: the first T nodes are the T most used, and a parent comes before its children.
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
        nodes[words, place] = root - parent[at]
        signs[words, place] = 1 - 2 * code[at]
        at = parent[at]
        going = at != root
        at, words = at[going], words[going]
    return nodes, signs


def split_paths(
    nodes: np.ndarray, signs: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cuts the paths of `huffman_paths` where they leave nodes 0 to T - 1 (1 <= T < V), a tree with T + 1 exits.

    Returns:
      exits: int32 [V], the exit of each word's path.
      exit_signs: int8 [T + 1, T], sign of every top node on the way to an exit; 0 where the path does not pass it.
      nodes: int32 [V, Q], the rest of each path; 0 beyond the end. Q is the longest rest and may be 0.
      signs: int8 [V, Q], of the rest.
    """
    length = (signs != 0).sum(1)
    within = (signs != 0) & (nodes < top)
    cut = within.sum(1)
    words = np.arange(len(nodes))
    turn = 2 * nodes[words, cut - 1] + (signs[words, cut - 1] > 0)
    _, first, exits = np.unique(turn, return_index=True, return_inverse=True)
    exit_signs = np.zeros((len(first), top), np.int8)
    way, place = np.nonzero(within[first])
    exit_signs[way, nodes[first[way], place]] = signs[first[way], place]
    at = cut[:, None] + np.arange((length - cut).max())[None]
    inside = at < length[:, None]
    at = np.minimum(at, nodes.shape[1] - 1)
    rest = np.where(inside, np.take_along_axis(nodes, at, axis=1), 0)
    rest_signs = np.where(inside, np.take_along_axis(signs, at, axis=1), 0)
    return exits.astype(np.int32), exit_signs, rest.astype(np.int32), rest_signs.astype(np.int8)


def same_nodes(old: np.ndarray, new: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For each inner node of the tree of counts `new` [V] the node of that of `old` [U] which parts the same words.

    `rows` int64 [V] is the place of each word in `old`, -1 for a new one. A node is the same if the known words on its
    way to code 0 and to code 1 are those of the other, and some are on both. Returns int64 [V - 1], -1 for none.
    """
    marks = np.random.default_rng(0).integers(1, 1 << 63, len(old), dtype=np.uint64)  # a set of words is their sum
    sides = [_sides(old, marks), _sides(new, np.where(rows >= 0, marks[rows], np.uint64(0)))]
    index = {pair: node for node, pair in enumerate(sides[0])}
    return np.array([index.get(pair, -1) for pair in sides[1]], np.int64)  # no node of the old tree has an empty side


def _sides(counts: np.ndarray, marks: np.ndarray) -> list[tuple[int, int]]:
    """(sum of the marks of the words on the way to code 0, to code 1) for each inner node, modulo 2**64."""
    nodes, signs = huffman_paths(counts)
    word, place = np.nonzero(signs)
    sums = np.zeros((2, len(counts) - 1), np.uint64)
    np.add.at(sums, ((signs[word, place] < 0).astype(np.int64), nodes[word, place]), marks[word])
    return list(zip(sums[0].tolist(), sums[1].tolist(), strict=True))
