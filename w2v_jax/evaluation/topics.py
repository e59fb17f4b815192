"""Scores of topics from counts of a reference corpus: coherence, diversity, held-out completion. No model is needed.

A topic is its words, likeliest first. In what follows p(w) is the share of the contexts of the reference corpus that
hold w, and p(w, v) the share that hold both. A context is a document, or a window that slides over it (`windows`).

- NPMI (Bouma 2009; Aletras and Stevenson 2013; Lau, Newman and Baldwin 2014; Roeder, Both and Hinneburg 2015):

      npmi(w, v) = log(p(w, v) / (p(w) p(v))) / -log p(w, v)        mean over all pairs of a topic's words

  from -1 (never together) by 0 (independent) to 1 (only together). Pairs that never meet have -1, and pairs that stand
  together in every context, where both logarithms are 0, have 1. Nothing is added to a count.
- UMass (Mimno et al. 2011): mean over pairs, v the likelier of the topic's words, of log((D(w, v) + 1) / D(v)). D are
  numbers of documents. The reference corpus is usually the training text.
- Diversity (Dieng, Ruiz and Blei 2020): the share of distinct words among the first 25 of all topics.

Figures of different reference corpora or windows do not compare. C_v is left out: its authors do not recommend it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from w2v_jax.errors import UserError


class Contexts(NamedTuple):
    """How many contexts of a reference corpus hold each of some words, and each two of them."""

    words: np.ndarray  # int64 [W], rising
    single: np.ndarray  # int64 [W]
    pairs: np.ndarray  # int64 [W, W], symmetric, its diagonal `single`
    total: int  # contexts


def top_words(topics: np.ndarray, count: int = 10) -> np.ndarray:
    """The likeliest words of each topic, likeliest first, int64 [K, count]; of equal ones the lower id comes first.

    topics: probabilities or weights [K, V]. UserError: the vocabulary is smaller than `count`.
    """
    topics = np.asarray(topics)
    if topics.shape[1] < count:
        raise UserError(f"{count} top words: the vocabulary has {topics.shape[1]}; ask for fewer")
    return np.argsort(-topics, axis=1, kind="stable")[:, :count]


def documents(rows: sp.csr_matrix, tops: np.ndarray) -> Contexts:
    """`Contexts` of the words in `tops` where a context is a document; `rows` are word counts [N, V].

    Empty documents count as contexts.
    """
    words = np.unique(tops)
    inside = sp.csr_matrix(rows)[:, words]
    inside = sp.csr_matrix((np.ones(inside.nnz, np.int64), inside.indices, inside.indptr), inside.shape)
    pairs = np.asarray((inside.T @ inside).todense())
    return Contexts(words, np.diag(pairs).copy(), pairs, rows.shape[0])


def windows(tokens: np.ndarray, offsets: np.ndarray, tops: np.ndarray, size: int = 10) -> Contexts:
    """`Contexts` of the words in `tops` where a context is a window of `size` tokens, one beginning at every token of a
    document that has `size` tokens from there on; a shorter document is one window. An empty one has none.

    tokens: word ids int [T]; offsets: int [N + 1], document i is tokens[offsets[i]:offsets[i + 1]].
    """
    words = np.unique(tops)
    place = np.full(max(int(words.max()), int(np.max(tokens, initial=0))) + 1, -1)
    place[words] = np.arange(len(words))
    pairs, total = np.zeros((len(words), len(words)), np.int64), 0
    for start, stop in _blocks(offsets):
        found = _window_rows(place[np.asarray(tokens[offsets[start] : offsets[stop]])], offsets, start, stop, size)
        total += found.shape[0]
        known = sp.csr_matrix((np.ones(found.nnz, np.int64), found.indices, found.indptr), (found.shape[0], len(words)))
        known.sum_duplicates()
        known.data[:] = 1
        pairs += np.asarray((known.T @ known).todense())
    return Contexts(words, np.diag(pairs).copy(), pairs, total)


def _blocks(offsets: np.ndarray, tokens: int = 1 << 18) -> Iterator[tuple[int, int]]:
    """Runs of whole documents of about `tokens` tokens, so that memory is bounded."""
    start, last = 0, len(offsets) - 1
    while start < last:
        stop = max(int(np.searchsorted(offsets, offsets[start] + tokens, "right")) - 1, start + 1)
        yield start, min(stop, last)
        start = min(stop, last)


def _window_rows(place: np.ndarray, offsets: np.ndarray, start: int, stop: int, size: int) -> sp.csr_matrix:
    """One row per window with an entry for each of its tokens that is one of the words (`place` is 0 or more)."""
    first = np.asarray(offsets[start:stop], np.int64) - int(offsets[start])
    length = np.diff(np.asarray(offsets[start : stop + 1], np.int64))
    number = np.where(length > 0, np.maximum(length - size + 1, 1), 0)
    begin = np.repeat(first - np.cumsum(number) + number, number) + np.arange(int(number.sum()))
    width = np.repeat(np.minimum(length, size), number)
    known = np.append(0, np.cumsum(place >= 0))
    columns = place[place >= 0]
    low, high = known[begin], known[begin + width]
    ends = np.append(0, np.cumsum(high - low))
    entries = np.arange(ends[-1]) + np.repeat(low - ends[:-1], high - low)
    return sp.csr_matrix((np.ones(ends[-1], np.int64), columns[entries], ends), (len(begin), len(place) + 1))


def npmi(contexts: Contexts, tops: np.ndarray) -> np.ndarray:
    """NPMI of each topic of `tops` [K, n], float64 [K]; nan for a topic with a word that no context holds."""
    return np.array([_pair_npmi(contexts, topic).mean() for topic in np.asarray(tops)])


def _pair_npmi(contexts: Contexts, topic: np.ndarray) -> np.ndarray:
    at = np.searchsorted(contexts.words, topic)
    upper = np.triu_indices(len(at), 1)
    single = contexts.single[at].astype(np.float64)
    joint = contexts.pairs[np.ix_(at, at)][upper].astype(np.float64)
    if (single == 0).any():
        return np.full(max(len(joint), 1), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        together = np.log(joint) - np.log(single[upper[0]]) - np.log(single[upper[1]]) + np.log(contexts.total)
        value = together / -(np.log(joint) - np.log(contexts.total))
    return np.where(joint == 0, -1.0, np.where(joint == contexts.total, 1.0, value))


def umass(contexts: Contexts, tops: np.ndarray) -> np.ndarray:
    """UMass of each topic of `tops` [K, n], likeliest words first, float64 [K]; `contexts` are documents. nan for a
    topic with a word that no document holds."""
    out = []
    for topic in np.asarray(tops):
        at = np.searchsorted(contexts.words, topic)
        likelier, other = np.triu_indices(len(at), 1)
        single = contexts.single[at].astype(np.float64)
        joint = contexts.pairs[at[other], at[likelier]]
        out.append(np.nan if (single == 0).any() else np.log((joint + 1) / single[likelier]).mean())
    return np.array(out)


def diversity(topics: np.ndarray, count: int = 25) -> float:
    """The share of distinct words among the `count` likeliest words of all topics [K, V]: 1 / K to 1."""
    tops = top_words(topics, min(count, topics.shape[1]))
    return len(np.unique(tops)) / tops.size


def completion(mixtures: np.ndarray, topics: np.ndarray, rows: sp.csr_matrix) -> float:
    """Nats per token of words `rows` [N, V] under sum_k mixtures_dk topics_kw, mixtures [N, K] and topics [K, V].

    Document completion: the mixtures come from the other words of the same documents (Wallach et al. 2009, section 5).
    """
    entries = sp.coo_matrix(rows)
    p = np.empty(entries.nnz)
    step = max(1, (1 << 24) // max(1, mixtures.shape[1]))
    for at in range(0, entries.nnz, step):
        some = slice(at, at + step)
        p[some] = (mixtures[entries.row[some]] * topics.T[entries.col[some]]).sum(1)
    return float(-(entries.data * np.log(p)).sum() / entries.data.sum())


def halves(tokens: np.ndarray, offsets: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every second token of each document, from the first and from the second on: (tokens, offsets) of each half."""
    tokens, offsets = np.asarray(tokens), np.asarray(offsets, np.int64)
    within = np.arange(len(tokens)) - np.repeat(offsets[:-1], np.diff(offsets))
    length = np.diff(offsets)
    sizes: Sequence[Any] = (length - length // 2, length // 2)
    return [(tokens[within % 2 == half], np.append(0, np.cumsum(sizes[half]))) for half in (0, 1)]
