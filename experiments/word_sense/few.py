"""Senses from a few labels, and the baselines of all settings.

With k shots of each sense the layer is the one that does best with k shots of the other words of the training file, so
that no further label of a word is used; where the file has one word only, its own training part chooses. The layer of
the regression is the one that the nearest centroid chooses so, which takes far less time. Of a sense with fewer than k
training occurrences all are taken. What is
'centred' or 'whitened' uses all training occurrences of the word, without their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from experiments.word_sense.labelled import CLASSIFIERS, REGRESSION, Predict, Run, Word, scored
from experiments.word_sense.vectors import Candidate
from w2v_jax.data.senses import Occurrence
from w2v_jax.evaluation import linear
from w2v_jax.evaluation import sense_labels as by_labels

SHOTS = (1, 3, 10, 30)
STRENGTH = 10.0  # C of the regression, of vectors of unit length
TRIED = 3  # draws with which a layer is chosen
ASKED = 400  # training occurrences of a word on which it is


def regression(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Logistic regression with a fixed strength."""
    return linear.at_strength(known, labels, asked, STRENGTH)


def draws(words: Sequence[Word], count: int, number: int, seed: int, share: float = 1.0) -> list[list[np.ndarray]]:
    """For each of `number` draws the places of `count` shots of each sense, in the training part of each word."""
    rngs = [np.random.default_rng((seed, count, draw)) for draw in range(number)]
    return [[by_labels.shots(word.labels, count, rng, share) for word in words] for rng in rngs]


def notes(words: Sequence[Word]) -> list[str]:
    """A line for each word with a sense of fewer occurrences than the most shots."""
    out = []
    for word in words:
        counts = np.bincount(word.labels, minlength=len(word.senses))
        short = [f"{n} of {sense}" for sense, n in zip(word.senses, counts.tolist(), strict=True) if 0 < n < max(SHOTS)]
        if short:
            out.append(f"{word.name}: has {', '.join(short)} in training: with more shots all of these are taken")
    return out


def few_shots(run: Run, number: int, seed: int) -> list[dict[str, Any]]:
    """One row a classifier and k: mean and standard error over draws."""
    rows = []
    for name, predict in {**CLASSIFIERS, REGRESSION: regression}.items():
        for count in SHOTS:
            picked = layers_for(run, CLASSIFIERS.get(name, by_labels.centroid), count, seed)
            sides = [(run.known(i, c), run.asked(i, c)) for i, c in enumerate(picked)]
            found = []
            for places in draws(run.words, count, number, seed):
                parts = zip(sides, run.words, places, strict=True)
                found.append([predict(known[at], word.labels[at], asked) for (known, asked), word, at in parts])
            chosen = {w.name: c.told(run.vectors.layers) for w, c in zip(run.words, picked, strict=True)}
            rows.append(
                {"model": run.vectors.name, "classifier": name, "chosen": chosen} | over(run.words, count, found)
            )
    return rows


def over(words: Sequence[Word], count: int, found: Sequence[Sequence[np.ndarray]]) -> dict[str, Any]:
    """Mean and standard error over draws of accuracy and recall, from the predictions of each draw."""
    each = [
        by_labels.mean([by_labels.scores(p, w.truth, len(w.senses)) for p, w in zip(of_draw, words, strict=True)])
        for of_draw in found
    ]
    out: dict[str, Any] = {"shots": count, "draws": len(each)}
    for key in ("micro", "recall"):
        values = np.array([getattr(one, key) for one in each])
        error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
        out |= {key: float(values.mean()), f"{key}_error": error}
    return out


def layers_for(run: Run, predict: Predict, count: int, seed: int) -> list[Candidate]:
    """The layer for k = `count` shots of each word, by k shots of the other words: mean recall over `TRIED` draws on
    `ASKED` further training occurrences."""
    rng = np.random.default_rng((seed, count))
    some = [rng.permutation(len(word.labels))[:ASKED] for word in run.words]
    tried = draws(run.words, count, TRIED, seed + 1, share=0.5)  # the others are asked for
    values = {}
    for candidate in run.vectors.single():
        of_words = []
        for i, word in enumerate(run.words):
            rows, recalls = run.known(i, candidate), []
            for of_draw in tried:
                asked = np.setdiff1d(some[i], of_draw[i])
                if len(asked):
                    out = predict(rows[of_draw[i]], word.labels[of_draw[i]], rows[asked])
                    recalls.append(by_labels.scores(out, word.labels[asked], len(word.senses)).recall)
            of_words.append(float(np.mean(recalls)) if recalls else 0.0)
        values[candidate] = np.array(of_words)
    count_of = len(run.words)
    others = [[j for j in range(count_of) if j != i] or [i] for i in range(count_of)]
    return [_highest({c: float(found[rest].mean()) for c, found in values.items()}) for rest in others]


def _highest(values: dict[Candidate, float]) -> Candidate:
    return max(values, key=lambda c: values[c])


# ---- baselines ----


def counts_of(train: Sequence[Occurrence], test: Sequence[Occurrence], itself: bool) -> tuple[sp.csr_matrix, ...]:
    """Counts of the tokens of the texts, without the word or with `itself`."""
    texts = [o.tokens if itself else o.tokens[: o.place] + o.tokens[o.place + 1 :] for o in (*train, *test)]
    rows = by_labels.bags(texts)
    return rows[: len(train)], rows[len(train) :]


BASELINES = {
    "naive Bayes": (False, True),
    "naive Bayes, with the word": (True, True),
    "naive Bayes, equal priors": (False, False),
}


def baselines(
    words: Sequence[Word], train: Sequence[Occurrence], test: Sequence[Occurrence], number: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the counts with all labels, and with a few."""
    often = [by_labels.most_frequent(word.labels, len(word.truth)) for word in words]
    rows: list[dict[str, Any]] = [{"model": "most frequent sense", "classifier": "-"} | scored(words, often)]
    shot: list[dict[str, Any]] = []
    for name, (itself, prior) in BASELINES.items():
        known, asked = counts_of(train, test, itself)
        sides = [(known[word.known], asked[word.asked]) for word in words]

        def predict(places: Sequence[Any], sides: Any = sides, prior: bool = prior) -> list[np.ndarray]:
            return [
                by_labels.naive_bayes(a[at], word.labels[at], b, prior)
                for (a, b), word, at in zip(sides, words, places, strict=True)
            ]

        rows.append({"model": name, "classifier": "-"} | scored(words, predict([slice(None)] * len(words))))
        for count in SHOTS if prior else ():
            found = [predict(places) for places in draws(words, count, number, seed)]
            shot.append({"model": name, "classifier": "-"} | over(words, count, found))
    return rows, shot
