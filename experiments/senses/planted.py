"""Senses planted in the synthetic language: what clusters of contextual vectors find, beside the best possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.context import Encoder
from w2v_jax.data import synthetic
from w2v_jax.data.bayes import Language
from w2v_jax.errors import UserError
from w2v_jax.evaluation.induction import Match, induce, match, mean_match
from w2v_jax.states import agreement_text
from w2v_jax.train.restore import Model

AROUND = 24  # words of the passage before and after the word
LEAST = 10  # occurrences of each sense that a word needs


class Planted(NamedTuple):
    """N occurrences of words with two senses in a text of the synthetic language."""

    texts: list[list[str]]  # the passages
    places: list[int]  # of the word in each
    words: np.ndarray  # str [N]
    topics: np.ndarray  # int64 [N], the sense
    best: np.ndarray  # int64 [N], the likeliest topic given the passage
    best_causal: np.ndarray  # int64 [N], given the passage up to the word


def planted(model: Model, most: int, seed: int = 0, least: int = LEAST) -> Planted:
    """At most `most` occurrences of each word with two senses in the test text of a run's synthetic language (in its
    held-out text without one), drawn with `seed`, of words with `least` occurrences of either sense.

    UserError: the run's text is another one, or too short.
    """
    data = model.config.data
    if data.source != "synthetic":
        raise UserError(f"--planted: the run's text is data.source={data.source}; it must be synthetic")
    language, _ = agreement_text(data)
    g = language.grammar
    language.table([w for w in model.tokenizer.words if w in set(g.words)])
    text = language.generate(*synthetic.plan(data.synthetic, "test"))
    rng, chosen = np.random.default_rng(seed), []
    for word in np.flatnonzero(g.two_senses).tolist():
        here = np.flatnonzero(text.ids == word)
        here = here[(here >= AROUND) & (here < len(text.ids) - AROUND)]
        if min(np.unique(text.topic[here], return_counts=True)[1], default=0) < least:
            continue
        chosen.append(np.sort(rng.choice(here, min(most, len(here)), replace=False)))
    if not chosen:
        raise UserError(
            f"data.synthetic.test_tokens={data.synthetic.test_tokens}: no word with two senses occurs {least} times in "
            "each; give more"
        )
    return _passages(language, text, np.concatenate(chosen))


def _passages(language: Language, text: synthetic.Sample, at: np.ndarray) -> Planted:
    g = language.grammar
    ids = text.ids[at[:, None] + np.arange(-AROUND, AROUND + 1)[None]]
    middle = np.full(len(at), AROUND)
    best, causal = (language.topic_posterior(ids, middle, causal=c).argmax(1) for c in (False, True))
    names = np.array(g.words, object)
    texts = [[str(word) for word in names[row]] for row in ids]
    return Planted(
        texts, middle.tolist(), names[text.ids[at]].astype(str), text.topic[at].astype(np.int64), best, causal
    )


def score(found: Planted, clusters: np.ndarray) -> Match:
    """Mean over the words of how clusters int [N] match the senses."""
    own = [found.words == word for word in np.unique(found.words)]
    return mean_match([match(found.topics[here], clusters[here]) for here in own])


def cluster(found: Planted, vectors: np.ndarray, count: int, method: str, seed: int) -> tuple[np.ndarray, float]:
    """(clusters of each word by itself, int64 [N]; mean number of them); `count` as in `induce`."""
    out, numbers = np.zeros(len(vectors), np.int64), []
    for word in np.unique(found.words):
        here = found.words == word
        out[here] = induce(vectors[here], count, method, seed=seed).labels
        numbers.append(int(out[here].max()) + 1)
    return out, float(np.mean(numbers))


def measure(encoder: Encoder, found: Planted, method: str = "kmeans", seed: int = 0) -> dict[str, Any]:
    """For every layer the scores of two clusters a word, and of a number chosen by the data; beside them the best
    possible, and a single cluster (`majority`)."""
    layers: list[dict[str, Any]] = []
    read = encoder.encode(found.texts, [[p] for p in found.places])
    for name, vectors in zip(encoder.names, read.layers, strict=True):
        two, _ = cluster(found, vectors, 2, method, seed)
        free, number = cluster(found, vectors, 0, method, seed)
        layers.append(
            {"layer": name, "two": score(found, two)._asdict(), "free": score(found, free)._asdict(), "number": number}
        )
    return {
        "words": len(np.unique(found.words)),
        "occurrences": len(found.words),
        "majority": layers[0]["two"]["majority"],
        "best": float((found.best == found.topics).mean()),
        "best_causal": float((found.best_causal == found.topics).mean()),
        "layers": layers,
        "told": encoder.told(read.seen),
    }


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A table of `measure`."""
    table = [["layer", "accuracy", "adjusted Rand", "V-measure", "number chosen", "accuracy then"]]
    for layer in result["layers"]:
        two, free = layer["two"], layer["free"]
        numbers = [f"{two['accuracy']:.1%}", f"{two['rand']:.3f}", f"{two['v_measure']:.3f}", f"{layer['number']:.2f}"]
        table.append([layer["layer"], *numbers, f"{free['accuracy']:.1%}"])
    for name, key in (
        ("most frequent sense", "majority"),
        ("best possible up to the word", "best_causal"),
        ("best possible", "best"),
    ):
        table.append([name, f"{result[key]:.1%}", "", "", "", ""])
    return table
