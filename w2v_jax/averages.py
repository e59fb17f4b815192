"""Vectors of texts from those of their words: the mean, and SIF.

mean: v(s) = sum_{w in s} x_w / |s|.

SIF (Arora, Liang and Ma 2017): v(s) = sum_{w in s} a / (a + p(w)) x_w / |s|, with p(w) the share of w in the training
text of the vectors, so that frequent words weigh little; then the directions that many texts have in common are taken
out, v - U U^T v, with U [D, r] the first r right singular vectors of the texts that `sif` was given. New texts have the
same directions taken out.

|s| counts the words that have a vector. A text without any gets zeros, and a warning counts these texts.
"""

from __future__ import annotations

import dataclasses
import numbers
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from w2v_jax.asked import texts_of, words_left_out
from w2v_jax.data.words import Rules, words_of
from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError, check, check_whole

WORDS = Rules("words", True)  # how a text that is no list of words is cut


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Averages:
    """How words make the vector of a text."""

    emb: Embeddings
    weights: np.ndarray | None = None  # float32 [V]; None: all 1. An unseen word that n-grams make has weight 1
    common: np.ndarray | None = None  # U, float32 [D, r]

    def vectors(self, texts: Iterable[str | Sequence[str]]) -> np.ndarray:
        """float32 [N, D] of texts: strings, cut into words of letters in lower case, or lists of words. UserError: one
        string in the place of several, a mapping, a text that is neither, a word that is no string. Words without a
        vector are left out, and a warning counts them."""
        given = [_words(text, i) for i, text in enumerate(texts_of(texts))]
        known = [self._known(words) for words in given]
        total = sum(map(len, given))
        if missing := total - sum(map(len, known)):
            first = next(w for words, own in zip(given, known, strict=True) for w in words if w not in own)
            words_left_out(missing, total, first)
        if bare := [i for i, words in enumerate(known) if not words]:
            what = f"{len(bare)} of {len(known)} texts have no word with a vector, and get zeros"
            warnings.warn(f"{what}: the first is texts[{bare[0]}]", stacklevel=2)
        made = [self._one(words) for words in known]
        out = np.stack(made) if made else np.zeros((0, self.emb.dim), np.float32)
        return out if self.common is None else out - (out @ self.common) @ self.common.T

    def _known(self, words: Sequence[str]) -> list[str]:
        return [word for word in map(_string, words) if word in self.emb or self.emb.makes(word)]

    def _one(self, known: list[str]) -> np.ndarray:
        if not known:
            return np.zeros(self.emb.dim, np.float32)
        found = self.emb[known]
        if self.weights is not None:
            rows = np.array([self.emb.index.get(word, -1) for word in known])
            found = found * np.where(rows >= 0, self.weights[rows], np.float32(1))[:, None]
        return np.asarray(found.mean(axis=0), np.float32)


def _words(text: object, number: int) -> Sequence[str]:
    """The words of the text at a place of the list."""
    if not isinstance(text, Iterable):
        raise UserError(f"texts[{number}]={text!r}: must be a string or a list of words")
    return words_of(text, WORDS) if isinstance(text, str) else list(text)


def _string(word: object) -> str:
    if not isinstance(word, str):
        raise UserError(f"word {word!r}: must be a string; decode the text, or cut it into words")
    return word


def mean(emb: Embeddings) -> Averages:
    """Plain means."""
    return Averages(emb)


def sif(emb: Embeddings, texts: Iterable[str | Sequence[str]], a: float = 1e-3, components: int = 1) -> Averages:
    """SIF with the common directions of `texts`; see the module.

    Args:
      a: the weight of a word is a / (a + p(w)); 1e-3 to 1e-4 in the paper.
      components: r, directions taken out; 0 for none.

    UserError: vectors without counts, an impossible number, fewer texts than components.
    """
    if emb.counts is None or not np.sum(emb.counts):
        gensim = 'counts=np.array([kv.get_vecattr(w, "count") for w in kv.index_to_key])'
        raise UserError(
            "SIF needs the counts of words: w2v_jax.load of a run folder has them, a file gets them by counts=FILE, "
            f"and Embeddings(kv.index_to_key, kv.vectors, counts) of gensim's vectors by {gensim}"
        )
    check(isinstance(a, numbers.Real) and 0 < a < float("inf"), "a", a, "a number above 0")
    need = f"a whole number, 0 or more and below the {emb.dim} dimensions"
    check_whole("components", components, 0, need)
    check(components < emb.dim, "components", components, need)
    share = np.asarray(emb.counts, np.float64) / np.sum(emb.counts)
    weighed = Averages(emb, (a / (a + share)).astype(np.float32))
    if not components:
        return weighed
    seen = weighed.vectors(texts).astype(np.float64)
    if np.linalg.matrix_rank(seen) < components:
        raise UserError(f"components={components}: the {len(seen)} texts have fewer directions; give more texts")
    _, directions = np.linalg.eigh(seen.T @ seen)  # by rising eigenvalue
    return dataclasses.replace(weighed, common=directions[:, ::-1][:, :components].astype(np.float32))
