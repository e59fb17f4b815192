"""Senses of a word from labelled examples: simple classifiers, their baselines and their scores.

Vectors are float [N, D] of unit length, labels int [N] from 0 to K - 1 for the senses of one word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from w2v_jax.evaluation import linear
from w2v_jax.evaluation.classification import macro_f1
from w2v_jax.evaluation.senses import change, unit

SMOOTHING = 0.1  # of naive Bayes


class Scores(NamedTuple):
    """Of the test occurrences of one word."""

    texts: int
    right: int
    recall: float  # mean over the senses that occur of the share of their occurrences that got them
    f1: float  # mean over senses; a sense without an occurrence or a prediction is left out
    senses: tuple[float, ...]  # recall of each sense, nan where it does not occur


class Mean(NamedTuple):
    """Scores of several words together."""

    micro: float  # share of all occurrences that are right
    words: float  # mean over words of that share
    recall: float  # mean over words of the mean recall of their senses
    f1: float  # mean over words of the mean F1 of their senses


def nearest(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The label of the known vector with the highest cosine (the first of equals), int [M]."""
    return np.asarray(labels[(asked @ known.T).argmax(1)])


def centroid(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The label whose mean vector has the highest cosine, int [M]."""
    names = np.unique(labels)
    means = unit(np.stack([known[labels == name].mean(0) for name in names]))
    return np.asarray(names[(asked @ means.T).argmax(1)])


def most_frequent(labels: np.ndarray, asked: int) -> np.ndarray:
    """The most frequent label (the lowest of equals) for all, int [M]."""
    return np.full(asked, np.bincount(labels).argmax())


def naive_bayes(known: sp.csr_matrix, labels: np.ndarray, asked: sp.csr_matrix, prior: bool = True) -> np.ndarray:
    """argmax_k log p(k) + sum_w n_w log p(w | k), int [M], from counts of words [N, V] and [M, V].

    p(w | k) = (n_wk + a) / (n_k + a V'), a = `SMOOTHING`, V' the words of the known texts; other words are left out.
    p(k) is the share of k, or the same for all without `prior`. (Gale, Church and Yarowsky 1992.)
    """
    names, index = np.unique(labels, return_inverse=True)
    seen = np.asarray(known.sum(0)).ravel() > 0
    member = sp.csr_matrix((np.ones(len(labels)), (index, np.arange(len(labels)))), (len(names), len(labels)))
    counts = np.asarray((member @ known[:, seen]).todense(), np.float64) + SMOOTHING
    chances = np.log(counts / counts.sum(1, keepdims=True))
    start = np.log(np.bincount(index) / len(index)) if prior else np.zeros(len(names))
    return np.asarray(names[(np.asarray(asked[:, seen] @ chances.T) + start[None]).argmax(1)])


def bags(texts: Sequence[Sequence[str]]) -> sp.csr_matrix:
    """Counts of the words of texts, float64 [N, V]; a column for each word, in the order of their first occurrence."""
    index: dict[str, int] = {}
    rows = [Counter(text) for text in texts]
    columns = [index.setdefault(word, len(index)) for row in rows for word in row]
    values = [float(n) for row in rows for n in row.values()]
    bounds = np.cumsum([0, *map(len, rows)])
    return sp.csr_matrix((values, columns, bounds), (len(rows), len(index)))


def scores(found: np.ndarray, labels: np.ndarray, classes: int) -> Scores:
    """Of predictions int [N], N at least 1, for a word of `classes` senses."""
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, found), 1)
    there, hits = confusion.sum(1), np.diag(confusion)
    recalls = np.where(there > 0, hits / np.maximum(there, 1), np.nan)
    return Scores(
        len(labels), int(hits.sum()), float(np.nanmean(recalls)), macro_f1(confusion), tuple(recalls.tolist())
    )


def mean(of_words: Sequence[Scores]) -> Mean:
    """Of at least one word."""
    texts, right = (np.array([getattr(s, name) for s in of_words]) for name in ("texts", "right"))
    recall, f1 = (float(np.mean([getattr(s, name) for s in of_words])) for name in ("recall", "f1"))
    return Mean(float(right.sum() / texts.sum()), float((right / texts).mean()), recall, f1)


def folds(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each occurrence, int [N] from 0 to `count` - 1; each label is spread evenly over them."""
    rng, out = np.random.default_rng(seed), np.zeros(len(labels), np.int64)
    for name in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == name))
        out[places] = (np.arange(len(places)) + rng.integers(count)) % count
    return out


def probe(vectors: np.ndarray, labels: np.ndarray, count: int = 5, strength: float = 10.0, seed: int = 0) -> float:
    """How well a linear probe reads the senses of one word from its vectors float [N, D]: the mean recall of the senses
    by logistic regression (C = `strength`), of each of `count` folds by the others. The mean vector is taken off, and
    all are put to one length; those of zeros stay zero."""
    rows = change(vectors, "centred")(vectors)
    parts, out = folds(labels, count, seed), np.zeros_like(labels)
    for fold in range(count):
        here = parts == fold
        if here.any() and len(np.unique(labels[~here])) > 1:
            out[here] = linear.at_strength(rows[~here], labels[~here], rows[here], strength)
        elif here.any():
            out[here] = labels[~here][:1] if (~here).any() else labels[here][:1]
    return scores(out, labels, int(labels.max()) + 1).recall


def shots(labels: np.ndarray, count: int, rng: np.random.Generator, share: float = 1.0) -> np.ndarray:
    """Places of `count` drawn occurrences of each label, int; of a label that has fewer, or of which `count` are more
    than `share`, that share of them and at least one."""
    found = []
    for name in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == name))
        found.append(places[: min(count, max(1, int(share * len(places))))])
    return np.concatenate(found)
