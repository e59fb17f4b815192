"""The senses of the words of a model with several vectors a word (`Family.senses`), and their vectors as a table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError, nearest
from w2v_jax.train.restore import Model

LEAST = 0.05  # share of a word's occurrences below which a sense is left out
_WORDS = 4096  # looked up at a time


class Sense(NamedTuple):
    """One sense of a word."""

    name: str  # word#1 is the most frequent sense
    share: float  # of the word's occurrences
    vector: np.ndarray  # float32 [D]


def senses_of(model: Model, word: str, least: float = LEAST) -> list[Sense]:
    """The senses of a word with a share of at least `least`, by falling share; always the most frequent one.

    UserError: the family has one vector a word, an unknown word, or `least` is not a share.
    """
    index = model.tokenizer.vocab.index
    if word not in index:
        raise UserError(f"{word!r} is not in the model's vocabulary{nearest(word, index)}")
    return _found(model, np.array([index[word]]), [word], least)[0]


def sense_table(model: Model, least: float = LEAST) -> Embeddings:
    """The vectors of the senses of all words as `word#1`, `word#2`, ..., in the order of the vocabulary; a count is the
    word's count times the share, rounded. `w2v_jax.embeddings.save` writes it. UserError: as `senses_of`."""
    words, counts = model.tokenizer.names(), model.tokenizer.vocab.counts
    names, vectors, shares = [], [], []
    for start in range(0, len(words), _WORDS):
        ids = np.arange(start, min(start + _WORDS, len(words)))
        for own, count in zip(_found(model, ids, [words[i] for i in ids], least), counts[ids], strict=True):
            names += [sense.name for sense in own]
            vectors += [sense.vector for sense in own]
            shares += [round(float(count) * sense.share) for sense in own]
    return Embeddings(names, np.stack(vectors), np.array(shares, np.int64))


def _found(model: Model, ids: np.ndarray, words: list[str], least: float) -> list[list[Sense]]:
    if model.spec.senses is None:
        raise UserError(f"family={model.config.family!r}: has one vector a word; open a run of multi_sense")
    if not 0 <= least <= 1:
        raise UserError(f"least={least}: must be between 0 and 1, the least share of a sense")
    shares, vectors = model.spec.senses(model.cfg, model.params, ids)
    found = []
    for word, own, rows in zip(words, shares, vectors, strict=True):
        order = np.argsort(-own, kind="stable")
        kept = [k for i, k in enumerate(order.tolist()) if i == 0 or own[k] >= least]
        found.append([Sense(f"{word}#{i + 1}", float(own[k]), rows[k]) for i, k in enumerate(kept)])
    return found
