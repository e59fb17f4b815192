"""The contexts of one word as clusters, and the words that tell what a cluster is about."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence, Set
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.senses.occurrences import Found, Occurrence
from w2v_jax.context import ContextEncoder
from w2v_jax.evaluation.induction import Induced, induce
from w2v_jax.evaluation.senses import unit
from w2v_jax.types import Array

TOP = 8  # words that describe a cluster
FREQUENT = 200  # most frequent words of the text, which describe none
_WORD = re.compile(r"(?=.*[^\W\d_])\w{2,}")  # two characters, one of them a letter


class Cluster(NamedTuple):
    """Contexts of a word that are alike."""

    size: int
    typical: list[str]  # words around it that the other clusters have less
    substitutes: list[str]  # words that the model predicts in the place
    nearest: list[str]  # words whose vectors are nearest to the mean of the cluster, where nothing is predicted
    examples: list[Occurrence]  # nearest to the middle first


@dataclasses.dataclass(frozen=True, eq=False)
class Word:
    """One word's occurrences, read by a model."""

    found: Found
    vectors: np.ndarray  # float32 [N, D]
    static: np.ndarray | None  # float32 [D], its vector without context where it has as many dimensions
    induced: Induced
    clusters: list[Cluster]
    sentences: list[Occurrence]  # given ones with this word, and
    given: np.ndarray  # float32 [S, D] their vectors,
    nearest: list[int]  # the cluster of each,
    words: list[list[str]]  # and the words that are predicted in the place, or else nearest
    told: str = ""  # one line about what was not read in full


def look(
    encoder: ContextEncoder,
    layer: int,
    found: Found,
    sentences: Sequence[Occurrence],
    examples: int,
    count: int,
    method: str,
    seed: int,
) -> Word:
    """Reads the occurrences of a word and clusters them; `count` as in `induce`."""
    all_of = [*found.drawn, *sentences]
    read = encoder.encode([o.words for o in all_of], [[o.place] for o in all_of], sorted({0, encoder.layer(layer)}))
    vectors, cut = read.layers[-1], len(found.drawn)
    induced = induce(vectors[:cut], count, method, seed=seed)
    same = read.layers[0].shape[1] == vectors.shape[1] and encoder.layer(layer) > 0
    predicted, given = predictions(encoder, all_of), vectors[cut:]
    frequent = frequent_words(encoder)
    clusters = []
    for k in range(len(induced.centres)):
        here = induced.labels == k
        substitutes = [] if predicted is None else words_of(encoder, predicted[:cut][here].mean(0), found.word)
        nearest = neighbours(encoder, induced.centres[k], found.word) if predicted is None else []
        shown = [found.drawn[i] for i in central(vectors[:cut], induced, k)[:examples]]
        around = typical(found.drawn, here, frequent)
        clusters.append(Cluster(int(here.sum()), around, substitutes, nearest, shown))
    if predicted is None:
        own = [neighbours(encoder, vector, found.word) for vector in unit(given)]
    else:
        own = [words_of(encoder, p, found.word) for p in predicted[cut:]]
    near = (unit(given) @ unit(induced.centres).T).argmax(1).tolist() if len(given) else []
    static = np.asarray(read.layers[0][0]) if same else None
    told = encoder.told(read.seen)
    return Word(found, vectors[:cut], static, induced, clusters, list(sentences), given, near, own, told)


def central(vectors: np.ndarray, induced: Induced, cluster: int) -> list[int]:
    """The members of a cluster, the nearest to its middle first."""
    members = np.flatnonzero(induced.labels == cluster)
    fit = unit(vectors[members]) @ np.asarray(induced.centres[cluster], np.float32)
    return [int(i) for i in members[np.argsort(-fit, kind="stable")]]


def typical(drawn: Sequence[Occurrence], inside: np.ndarray, without: Set[str] = frozenset()) -> list[str]:
    """The words that passages of a cluster have more often than the others: the highest log-odds of the two shares,
    divided by their standard deviation, and above 1.

    Words of `without` are left out. Shares have the share in all passages as a prior that counts for one passage
    (Monroe, Colaresi and Quinn 2008, Political Analysis 16). Without other passages, the most frequent words.
    """
    counts = [Counter[str](), Counter[str]()]
    for occurrence, own in zip(drawn, inside.tolist(), strict=True):
        words = {w for w in occurrence.words if _WORD.fullmatch(w)} - {occurrence.words[occurrence.place]}
        counts[int(own)].update(words - without)
    sizes = [int((~inside).sum()), int(inside.sum())]
    if not sizes[0]:
        return [word for word, _ in counts[1].most_common(TOP)]

    def score(word: str) -> float:
        share = (counts[0][word] + counts[1][word]) / sum(sizes)
        parts = [(n[word] + share, size - n[word] + 1 - share) for n, size in zip(counts, sizes, strict=True)]
        logs = [np.log(there / max(absent, 1e-9)) for there, absent in parts]
        spread = np.sqrt(sum(1 / there + 1 / max(absent, 1e-9) for there, absent in parts))
        return float((logs[1] - logs[0]) / spread)

    ranked = sorted((-score(word), word) for word in counts[1] if counts[0][word] + counts[1][word] > 1)
    return [word for value, word in ranked[:TOP] if value < -1]


# ---- what the model itself would put in the place ----


def predictions(encoder: ContextEncoder, all_of: Sequence[Occurrence]) -> np.ndarray | None:
    """p(word in the place | the other words), float32 [N, V]; of a causal model given the words before. None for models
    that predict no words, or read texts backward."""
    model = encoder.model
    encode: Any = model.spec.encode
    if encoder.static or encode.logits is None or encoder.reads_backward or not all_of:
        return None
    texts, places = [o.words for o in all_of], [o.place for o in all_of]
    if encode.mask(model.cfg) is not None:
        encoder = dataclasses.replace(encoder, hide_target=True)
    elif encode.causal(model.cfg):
        # The state of the word before predicts this one; before the first word that is the end token of another text.
        end = model.tokenizer.end_token
        texts = [words if place else [end or words[0], *words] for words, place in zip(texts, places, strict=True)]
        places = [max(0, place - 1) for place in places]
    else:
        return None
    states = encoder.encode(texts, [[place] for place in places], [-1]).layers[0]

    @jax.jit
    def softmax(states: Array) -> Array:
        return jax.nn.softmax(encode.logits(model.cfg, model.params, states))

    size = 256
    padded = np.pad(states, ((0, -len(states) % size), (0, 0)))
    parts = [np.asarray(softmax(jnp.asarray(padded[at : at + size]))) for at in range(0, len(padded), size)]
    return np.concatenate(parts)[: len(states)]


def words_of(encoder: ContextEncoder, scores: np.ndarray, word: str) -> list[str]:
    """The words of two characters or more with the highest of the scores [V], without the word itself and the most
    frequent words."""
    words, without = encoder.model.tokenizer.words, {word, *frequent_words(encoder)}
    best = (words[i].strip() for i in np.argsort(-scores[: len(words)])[: FREQUENT + 20 * TOP].tolist())
    return [w for w in dict.fromkeys(best) if _WORD.fullmatch(w) and w not in without][:TOP]


def frequent_words(encoder: ContextEncoder) -> frozenset[str]:
    """The `FREQUENT` most frequent words of the vocabulary; none of a small one."""
    words = encoder.model.tokenizer.words
    return frozenset(words[:FREQUENT]) if len(words) > 10 * FREQUENT else frozenset()


def neighbours(encoder: ContextEncoder, vector: np.ndarray, word: str) -> list[str]:
    """The words whose vectors have the highest cosine with `vector` [D], the mean word vector taken off both. Empty for
    a family without word vectors of this width."""
    model = encoder.model
    if model.spec.embed is None:
        return []
    table = np.asarray(next(iter(model.spec.vectors(model.cfg, model.params, model.consts).values())), np.float32)
    if table.shape[1:] != vector.shape:
        return []
    middle = table.mean(0)
    return words_of(encoder, unit(table - middle) @ (np.asarray(vector, np.float32) - middle), word)
