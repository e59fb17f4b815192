"""Distances of the pairs of a split under a trained model and under what needs no training, and their scores."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import Config, DataConfig
from w2v_jax.data.pairs import SAME_FROM
from w2v_jax.data.words import Rules, words_of
from w2v_jax.evaluation import pairs
from w2v_jax.evaluation.classification import accuracy_error
from w2v_jax.models import MODELS
from w2v_jax.models.pair_encoder import PairEncoderConfig
from w2v_jax.nn.layers import pad_to
from w2v_jax.train.applied import applied
from w2v_jax.types import Cfg, Consts, Params, Words

FAMILY = "pair_encoder"
WIDTH = 16  # scored texts are padded to a multiple of this number of words
SPLITS = ("heldout", "test")
BATCH = 256


class Judged(NamedTuple):
    """N pairs: their distances and scores under a model, and the scores that they are given, 0 to 1."""

    distances: np.ndarray
    scores: np.ndarray
    given: np.ndarray
    rows: np.ndarray  # int64 [N], which pair of the split each one is

    @property
    def same(self) -> np.ndarray:
        """bool [N]: the pairs labelled SAME, or of the upper half of the scores."""
        same: np.ndarray = self.given >= SAME_FROM
        return same


def judge(cfg: Cfg, params: Params, consts: Consts, corpus: Any, split: str) -> Judged:
    """The pairs of a split, from short to long, under a model."""
    spec = MODELS[FAMILY]
    model, found = applied(spec, cfg), []
    for step in (source := spec.trained.source(cfg, corpus, split, BATCH, 0)).iterate(0, source.steps_per_epoch):
        there = step["score"][0] >= 0
        seen = min(pad_to(max(1, int(step["steps"].max())), WIDTH), cfg.max_length)
        tokens, lengths = step["tokens"][0][..., :seen].reshape(2 * BATCH, seen), step["length"][0].reshape(-1)
        texts = np.asarray(model.vectors(params, consts, tokens, lengths)).reshape(BATCH, 2, -1)
        distances, scores = model.pairs(params, texts[:, 0], texts[:, 1])
        found.append([np.asarray(x)[there] for x in (distances, scores, step["score"][0])])
    part = getattr(corpus, split)
    longer = np.array([max(len(a), len(b)) for a, b in zip(part.first, part.second, strict=True)])
    rows = np.argsort(np.minimum(longer, cfg.max_length), kind="stable")  # the order of `pair_source` without shuffling
    distances, scores, given = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert (given == part.scores[rows]).all()
    return Judged(distances, scores, given, rows)


def tfidf(corpus: Any, data: DataConfig) -> dict[str, Judged]:
    """1 - cosine of TF-IDF vectors (scikit-learn's, which counts the documents of the training pairs), by split. Words
    that no training pair has are left out; a text of such words alone has cosine 0."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=partial(words_of, rules=Rules.of(data)))
    vectorizer.fit([text for pair in corpus.train.texts for text in pair])
    found = {}
    for split in SPLITS:
        part = getattr(corpus, split)
        if part.documents:
            first, second = (vectorizer.transform([pair[side] for pair in part.texts]) for side in (0, 1))
            cosines = np.asarray(first.multiply(second).sum(axis=1)).reshape(-1)
            found[split] = Judged(1.0 - cosines, cosines, part.scores, np.arange(part.documents))
    return found


def untrained(model: PairEncoderConfig, tower: str, counts: str, corpus: Any) -> dict[str, Judged]:
    """1 - cosine of the `tower` mean or sif of the given vectors themselves, by split."""
    own: dict[str, Any] = {
        "hidden": 0,
        "frozen": True,
        "pool": "mean",
        "bidirectional": False,
        "threshold": 0.0,
        "dropout": 0.0,
    }
    own |= {"tower": tower, "loss": "cosine", "counts": counts if tower == "sif" else ""}
    cfg = dataclasses.replace(model, **own)
    spec, vocab = MODELS[FAMILY], corpus.vocab
    cfg = spec.resolve(cfg, len(vocab))
    consts = jax.tree.map(jnp.asarray, spec.consts(cfg, Words(vocab.words, vocab.counts)))
    return {s: judge(cfg, {}, consts, corpus, s) for s in SPLITS if getattr(corpus, s).documents}


def row(
    name: str, found: dict[str, Judged], bounds: tuple[float, float] | None, threshold: float = 0.0, fits: bool = False
) -> dict[str, Any]:
    """One row of the results: `threshold`, or without one the best on the held-out pairs, and the scores of the test
    pairs, or without them of the held-out ones. `fits` says that the scores are those of a regression; only then is
    there an error, in the unit of the given scores, squared."""
    held = found["heldout"]
    cut = threshold or pairs.curve(held.distances, held.same).best
    last = found.get("test", held)
    accuracy = pairs.accuracy(last.distances, last.same, cut)
    out: dict[str, Any] = {"model": name, "threshold": cut, "fitted": not threshold, "pairs": len(last.given)}
    out |= {"heldout_accuracy": pairs.accuracy(held.distances, held.same, cut), "accuracy": accuracy}
    out |= {"accuracy_error": accuracy_error(accuracy, len(last.given))}
    out |= {"area": pairs.area(last.distances, last.same), "heldout_area": pairs.area(held.distances, held.same)}
    if bounds is not None:
        for prefix, judged in (("", last), ("heldout_", held)):
            graded = pairs.graded(judged.scores, judged.given)
            out |= {f"{prefix}pearson": graded.pearson, f"{prefix}spearman": graded.spearman}
            error = graded.error * (bounds[1] - bounds[0]) ** 2
            out |= {f"{prefix}error": error} if fits else {}
    return out


def corpus_of(config: Config, say: Any) -> Any:
    """The pairs that a config names."""
    return MODELS[FAMILY].text(config.model, config.data, say)
