"""Scores of a classifier from its class probabilities."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    """Of N texts and C classes."""

    texts: int
    accuracy: float
    error: float  # standard error of the accuracy, see `accuracy_error`
    loss: float  # nats per text
    confusion: np.ndarray  # int64 [C, C], true class by predicted class


def accuracy_error(accuracy: float, texts: int) -> float:
    """sqrt(a (1 - a) / N), the standard error of a share a of N independent texts."""
    return math.sqrt(accuracy * (1.0 - accuracy) / texts)


def macro_f1(confusion: np.ndarray) -> float:
    """Mean over classes of F1 = 2 hits / (texts of the class + texts given to it), from `Scores.confusion`.

    A class that has neither a text nor a prediction is left out of the mean.
    """
    f1 = per_class(confusion)[:, 2]
    return float(f1[~np.isnan(f1)].mean())


def per_class(confusion: np.ndarray) -> np.ndarray:
    """(precision, recall, F1) of each class, float64 [C, 3], from `Scores.confusion`; NaN where nothing was counted."""
    hits, given, there = np.diag(confusion).astype(np.float64), confusion.sum(0), confusion.sum(1)
    with np.errstate(invalid="ignore"):
        return np.stack([hits / given, hits / there, 2.0 * hits / (given + there)], axis=1)


def classification(probabilities: np.ndarray, labels: np.ndarray) -> Scores:
    """Accuracy of the most probable class (the first of equals), -mean log p(label), and the confusion of classes.

    From float [N, C], N at least 1, and labels int [N], 0 to C - 1. ValueError: no text, or arrays that do not fit.
    """
    count, classes = probabilities.shape
    if not count or labels.shape != (count,) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"probabilities {probabilities.shape} and labels {labels.shape} do not fit")
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
    accuracy = float(np.trace(confusion) / count)
    likelihood = np.maximum(probabilities[np.arange(count), labels].astype(np.float64), np.finfo(np.float64).tiny)
    loss = float(-np.log(likelihood).mean())
    return Scores(count, accuracy, accuracy_error(accuracy, count), loss, confusion)


def majority(known: np.ndarray, asked: np.ndarray) -> float:
    """Accuracy on the labels int [M] `asked` of always the most frequent (the first of equals) of those `known`."""
    return float((asked == np.bincount(known).argmax()).mean())


def interval(accuracy: float, texts: int) -> tuple[float, float]:
    """Wilson's interval of 95 % of a share of N independent texts. Unlike `accuracy_error` it has a width where none or
    all are right."""
    from scipy.stats import binomtest

    found = binomtest(round(accuracy * texts), texts).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


class Paired(NamedTuple):
    """Two classifiers on the same texts."""

    better: int  # texts that the first one alone gets right
    worse: int  # those that the second one alone does
    p: float  # of McNemar's test, exact: how likely so uneven numbers are where both are equally good


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """From which texts each gets right, bool [N]."""
    from scipy.stats import binomtest

    better, worse = int((first & ~second).sum()), int((second & ~first).sum())
    return Paired(better, worse, float(binomtest(better, better + worse).pvalue) if better + worse else 1.0)
