"""Senses from labelled occurrences: classifiers on the vectors of each run, with all training labels.

Folds of the training file choose the layer or mixture for each classifier; the test labels are used once, for the
scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from experiments.word_sense.vectors import Candidate, Mixer, Vectors, best
from w2v_jax.data.senses import Occurrence
from w2v_jax.errors import UserError
from w2v_jax.evaluation import linear
from w2v_jax.evaluation import sense_labels as by_labels
from w2v_jax.evaluation.senses import WAYS

FOLDS = 5
OUTSIDE = -1
ANSWERS = "answers"  # key of a row, until `answers` makes its table
CHOSEN_BY = 1500  # training occurrences of a word, drawn at random, whose folds choose layers
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)  # C of the regression with all labels; a fold chooses
Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(known vectors, their labels, vectors asked for) -> labels."""


class Word(NamedTuple):
    """One word: places in the lists of occurrences, and the senses there."""

    name: str
    senses: tuple[str, ...]  # of training first, then those of the test alone
    known: np.ndarray  # int [N], places in the training list
    asked: np.ndarray  # int [M], places in the test list
    labels: np.ndarray  # int [N]
    truth: np.ndarray  # int [M]
    folds: np.ndarray  # int [N]; OUTSIDE where an occurrence chooses no layer


def words_of(train: Sequence[Occurrence], test: Sequence[Occurrence], seed: int, source: str = "") -> list[Word]:
    """Every word, in the order of the test list; `source` is the file of training. UserError: a word of the test that
    training lacks, a word of one sense, or of so few occurrences that a fold cannot choose for it."""
    of_file = f"--train={source}: " if source else ""
    out = []
    for name in dict.fromkeys(o.word for o in test):
        known, asked = ([i for i, o in enumerate(part) if o.word == name] for part in (train, test))
        of_train = sorted({train[i].sense for i in known})
        if not of_train:
            raise UserError(f"{of_file}word {name!r}: is in the test file only; give training occurrences too")
        if len(of_train) < 2:
            raise UserError(
                f"{of_file}word {name!r}: has one sense only in the training file, {of_train[0]!r}; it needs two"
            )
        alone = sorted({test[i].sense for i in asked} - set(of_train))
        index = {sense: i for i, sense in enumerate([*of_train, *alone])}
        labels, truth = (
            np.array([index[part[i].sense] for i in places]) for part, places in ((train, known), (test, asked))
        )
        places = np.array(known), np.array(asked)
        parts = by_labels.folds(labels, FOLDS, seed)
        parts[np.random.default_rng(seed).permutation(len(parts))[CHOSEN_BY:]] = OUTSIDE
        if not (parts == 0).any() or len(np.unique(labels[parts != 0])) < 2:
            counts = ", ".join(f"{(labels == i).sum()} of {sense!r}" for i, sense in enumerate(of_train))
            raise UserError(
                f"{of_file}word {name!r}: has too few training occurrences ({counts}) for {FOLDS} folds; give {FOLDS} "
                "of each of two senses at least, or leave the word out"
            )
        out.append(Word(name, tuple(index), *places, labels, truth, parts))
    return out


CLASSIFIERS: dict[str, Predict] = {"1-NN": by_labels.nearest, "centroid": by_labels.centroid}
REGRESSION = "regression"


class Run:
    """The vectors of one run, word by word."""

    def __init__(self, vectors: Vectors, words: Sequence[Word]) -> None:
        self.vectors, self.words = vectors, words
        self.mixers = [Mixer([layer[word.known] for layer in vectors.parts[0]]) for word in words]

    def known(self, i: int, candidate: Candidate) -> np.ndarray:
        """The training part of word i."""
        return self.mixers[i].known(candidate)

    def asked(self, i: int, candidate: Candidate) -> np.ndarray:
        """Its test part."""
        return self.mixers[i].of(candidate, [layer[self.words[i].asked] for layer in self.vectors.parts[1]])

    def by_folds(self, predict: Predict, candidate: Candidate) -> float:
        """Mean over words of the recall of senses, every fold by the others."""
        found = []
        for i, word in enumerate(self.words):
            inside = word.folds != OUTSIDE
            rows, labels, folds = self.known(i, candidate)[inside], word.labels[inside], word.folds[inside]
            out = np.zeros_like(labels)
            for fold in range(FOLDS):
                here = folds == fold
                if here.any() and not here.all():
                    out[here] = predict(rows[~here], labels[~here], rows[here])
            found.append(by_labels.scores(out, labels, len(word.senses)).recall)
        return float(np.mean(found))

    def regression(
        self, candidate: Candidate, strengths: Sequence[Sequence[float]] | None = None
    ) -> tuple[float, list[np.ndarray], list[list[float]]]:
        """(share of the first fold of all words that is right; predictions of the test parts; strengths of the words).

        The fold chooses the strength for each word among `STRENGTHS`, or among those given."""
        right, texts, out, chosen = 0.0, 0, [], []
        for i, word in enumerate(self.words):
            held = word.folds == 0
            rows, asked = self.known(i, candidate), self.asked(i, candidate)
            tried = STRENGTHS if strengths is None else strengths[i]
            fitted = linear.fit(rows, word.labels, len(word.senses), asked, held, strengths=tried)
            right, texts = right + fitted.heldout[fitted.strength] * held.sum(), texts + int(held.sum())
            out.append(fitted.probabilities.argmax(1))
            chosen.append([fitted.strength])
        return right / texts, out, chosen


def rows_of(run: Run) -> list[dict[str, Any]]:
    """One row a classifier, with all training labels."""
    rows, mixtures = [], []
    for name, predict in CLASSIFIERS.items():
        chosen, value, curves = best(run.vectors, partial(run.by_folds, predict))
        mixtures.append(chosen)
        found = [predict(run.known(i, chosen), word.labels, run.asked(i, chosen)) for i, word in enumerate(run.words)]
        rows.append(_row(run, name, chosen, value, found) | {"curves": curves})
    layers = [Candidate(((layer, 1.0),), WAYS[0]) for layer in range(len(run.vectors.layers))]
    tried = {mixtures[-1]: run.regression(mixtures[-1])}
    strengths = tried[mixtures[-1]][2]  # they hardly differ between layers, so that one mixture chooses them
    tried |= {c: run.regression(c, strengths) for c in dict.fromkeys([*layers, *mixtures]) if c not in tried}
    chosen = max(tried, key=lambda c: tried[c][0])
    curve = {run.vectors.layers[c.weights[0][0]]: tried[c][0] for c in layers}
    rows.append(_row(run, REGRESSION, chosen, *tried[chosen][:2]) | {"curves": {WAYS[0]: curve}})
    return rows


def _row(run: Run, name: str, chosen: Candidate, value: float, found: Sequence[np.ndarray]) -> dict[str, Any]:
    return {
        "model": run.vectors.name,
        "classifier": name,
        "chosen": chosen.told(run.vectors.layers),
        "candidate": chosen._asdict(),
        "folds": value,
        **scored(run.words, found),
    }


def scored(words: Sequence[Word], found: Sequence[np.ndarray]) -> dict[str, Any]:
    """Scores of the test parts, together and by word; with the labels themselves."""
    each = [by_labels.scores(p, word.truth, len(word.senses)) for p, word in zip(found, words, strict=True)]
    by_word = {
        word.name: {
            "accuracy": s.right / s.texts,
            "recall": s.recall,
            "f1": s.f1,
            "senses": {n: None if np.isnan(r) else r for n, r in zip(word.senses, s.senses, strict=True)},
        }
        for word, s in zip(words, each, strict=True)
    }
    return by_labels.mean(each)._asdict() | {"by_word": by_word, ANSWERS: found}
