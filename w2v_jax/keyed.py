"""The queries of gensim's `KeyedVectors` under its names, as methods of `w2v_jax.embeddings.Embeddings`.

A name that stands here means what it means in gensim 4, with the same numbers (tests compare them) and the same
arguments in the same order. But `most_similar` has no `clip_start` and `clip_end`, so that what follows `topn` is given
by name; `distance` of `Embeddings` is Euclidean, where gensim's is 1 - cosine; words are named by strings, not by
numbers; `doesnt_match` needs three words; `most_similar_cosmul` scales given vectors to length 1 and searches the first
`restrict_vocab` words, where gensim does neither; and nothing is added or trained in place. docs/vectors.md says which
names are not there. A mistake is a `UserError` of one line; a missing word is a `KeyError` too. Words that are left out
are counted in a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from w2v_jax.asked import Key, Weighted, first_words, known, left_out, listed, numbers, weighed
from w2v_jax.errors import UserError

if TYPE_CHECKING:
    from w2v_jax.embeddings import Embeddings

Scored = list[tuple[str, float]]
_EPSILON = 1e-6  # of 3CosMul, as in gensim


class Indexer(Protocol):
    """What answers `most_similar` from an index of its own; `w2v_jax.approximate.Approximate` is one."""

    def most_similar(self, vector: np.ndarray, topn: int) -> Scored: ...


def getitem(emb: Embeddings, key: str | Iterable[str]) -> np.ndarray:
    """`emb["king"]`: the vector, float32 [D], read-only. `emb[["king", "man"]]`: [n, D]. KeyError: a missing word."""
    if isinstance(key, str):
        return emb.vector(key)
    words = listed(key)
    rows = [emb.index.get(word, -1) if isinstance(word, str) else -1 for word in words]
    if -1 not in rows:
        return np.asarray(emb.vectors[np.array(rows, np.int64)])
    return np.stack([emb.vector(word) for word in words])


def get_vector(emb: Embeddings, key: str, norm: bool = False) -> np.ndarray:
    """The vector of a word, float32 [D], read-only; with `norm` of length 1. KeyError: a missing word."""
    return emb._term(key, True) if norm else emb.vector(key)


def get_index(emb: Embeddings, key: str, default: int | None = None) -> int:
    """The row of a word; `default` where it is missing. KeyError: missing, without a default."""
    return emb.row(key) if default is None else emb.index.get(key, default)


def get_vecattr(emb: Embeddings, key: str, attr: str) -> int:
    """`get_vecattr(word, "count")`: how often the word occurs in the training text. UserError: no counts."""
    if attr != "count" or emb.counts is None:
        has = "no attribute" if emb.counts is None else "count only"
        raise UserError(f"attribute {attr!r} of {key!r}: these vectors have {has}")
    return int(emb.counts[emb.row(key)])


def get_normed_vectors(emb: Embeddings) -> np.ndarray:
    """All vectors scaled to length 1, a copy, float32 [V, D]; a zero vector stays zero."""
    return emb.unit(slice(None))


def get_mean_vector(
    emb: Embeddings,
    keys: Sequence[Key],
    weights: Sequence[float] | np.ndarray | None = None,
    pre_normalize: bool = True,
    post_normalize: bool = False,
    ignore_missing: bool = True,
) -> np.ndarray:
    """sum_i w_i x_i / sum_i |w_i| of words or vectors, float32 [D]; vectors are taken as they are.

    Args:
      weights: w, one per key; None: all 1.
      pre_normalize: scale the vectors of words to length 1 first.
      post_normalize: scale the mean to length 1.
      ignore_missing: leave missing words out, with a warning, instead of a KeyError.

    UserError: no key, or another number of weights.
    """
    keys = listed(keys)
    if not keys:
        raise UserError("no word to take the mean of: give at least one")
    sizes = np.ones(len(keys)) if weights is None else numbers(weights, len(keys))
    total, size = np.zeros(emb.dim, np.float32), 0.0
    missing: list[str] = []
    for key, weight in zip(keys, sizes, strict=True):
        if isinstance(key, str):
            if ignore_missing and key not in emb and not emb.makes(key):
                missing.append(key)
                continue
            key = get_vector(emb, key, pre_normalize)
        else:
            key = emb._given(key)
        total += np.float32(weight) * key
        size += abs(float(weight))
    if missing:
        left_out(emb, missing, len(keys))
    mean = total / np.float32(size) if size else total
    return _direction(mean) if post_normalize else mean


def most_similar(
    emb: Embeddings,
    positive: Key | Sequence[Key | Weighted] | None = None,
    negative: Key | Sequence[Key | Weighted] | None = None,
    topn: int | None = 10,
    *,
    restrict_vocab: int | None = None,
    indexer: Indexer | None = None,
) -> Any:
    """The `topn` words of highest cosine with the mean of unit(positive) and -unit(negative): [(word, cosine)].

    Args:
      positive, negative: a word, a vector [D], or several; `(word, weight)` weighs one (default 1, or -1 for negative).
      topn: how many; None: the cosines with all words, float32 [V].
      restrict_vocab: search the first (most frequent) n words only; None or 0 for all.
      indexer: answers from an index, see `w2v_jax.approximate`; it may return words of the query, as in gensim.

    UserError: a missing word (KeyError too), no word, a mean of length 0.
    """
    keys, weights = weighed(positive, 1.0)
    minus, negatives = weighed(negative, -1.0)
    keys, weights = keys + minus, weights + negatives
    if not keys:
        raise UserError("no word to look up: give at least one")
    mean = get_mean_vector(emb, keys, weights, post_normalize=True, ignore_missing=False)
    if not mean.any():
        raise UserError("the query adds up to a zero vector, which has no direction")
    if indexer is not None and topn is not None:
        if restrict_vocab:
            raise UserError(f"restrict_vocab={restrict_vocab}: an index is searched whole; leave one of both out")
        if not hasattr(indexer, "most_similar"):
            raise UserError(f"indexer={indexer!r}: must be an index, such as Approximate.build(emb)")
        return indexer.most_similar(mean, topn)
    scores = emb._cosines(mean[None], first_words(restrict_vocab))[0]
    if topn is None:
        return scores
    return emb._best(scores, topn, emb._rows([key for key in keys if isinstance(key, str)]))


def similar_by_word(emb: Embeddings, word: str, topn: int | None = 10, restrict_vocab: int | None = None) -> Any:
    """`most_similar` of one word."""
    return most_similar(emb, [word], topn=topn, restrict_vocab=restrict_vocab)


def similar_by_vector(emb: Embeddings, vector: Key, topn: int | None = 10, restrict_vocab: int | None = None) -> Any:
    """`most_similar` of one vector [D]; a word is taken too, as in gensim."""
    key = vector if isinstance(vector, str) else emb._given(vector)
    return most_similar(emb, [key], topn=topn, restrict_vocab=restrict_vocab)


def most_similar_cosmul(
    emb: Embeddings,
    positive: Key | Sequence[Key] | None = None,
    negative: Key | Sequence[Key] | None = None,
    topn: int | None = 10,
    restrict_vocab: int | None = None,
) -> Any:
    """By 3CosMul (Levy & Goldberg 2014, equation 4): prod s(x, positive) / (prod s(x, negative) + 1e-6), where
    s = (1 + cosine) / 2. Arguments and errors as in `most_similar`, without weights and index."""
    (plus, weights), (minus, negatives) = weighed(positive, 1.0), weighed(negative, -1.0)
    if {*weights, *(-x for x in negatives)} - {1.0}:
        raise UserError("a query of 3CosMul has a weight, which it cannot use: give words alone, or use most_similar")
    if not plus:
        raise UserError("no word to look up: give at least one")
    units = np.stack([emb._term(key, True) for key in plus + minus])
    shifted = (1 + emb._cosines(units, first_words(restrict_vocab))) / 2
    scores = np.prod(shifted[: len(plus)], axis=0) / (np.prod(shifted[len(plus) :], axis=0) + _EPSILON)
    if topn is None:
        return scores
    return emb._best(scores, topn, emb._rows([key for key in plus + minus if isinstance(key, str)]))


def n_similarity(emb: Embeddings, ws1: Sequence[str], ws2: Sequence[str]) -> float:
    """The cosine between the means of two lists of words; missing words are left out, with a warning. UserError: an
    empty list."""
    first, second = (_direction(get_mean_vector(emb, words, pre_normalize=False)) for words in (ws1, ws2))
    found = float(first @ second)
    _ = emb.norms if np.isnan(found) else None  # which names the word
    return found


def rank_by_centrality(emb: Embeddings, words: Sequence[str], use_norm: bool = True) -> list[tuple[float, str]]:
    """(cosine with the mean of the unit vectors, word), highest first; without `use_norm` (product with the direction
    of the mean, word) of the vectors as they are. Missing words are left out, with a warning. UserError: no word is
    left."""
    kept = known(emb, words)
    if not kept:
        raise UserError("none of the words has a vector: nothing to compare")
    units = np.stack([get_vector(emb, word, norm=use_norm) for word in kept])
    fit = units @ _direction(units.mean(axis=0))
    return sorted(zip(fit.tolist(), kept, strict=True), reverse=True)


def doesnt_match(emb: Embeddings, words: Sequence[str]) -> str:
    """The word with the lowest cosine with the mean of all; see `rank_by_centrality`. UserError: fewer than three words
    have a vector, of which two are always equally near to their mean."""
    ranked = rank_by_centrality(emb, words)
    if len(ranked) < 3:
        raise UserError(f"doesnt_match: {len(ranked)} of the words have a vector; give at least three that have one")
    return ranked[-1][1]


def closer_than(emb: Embeddings, key1: str, key2: str) -> list[str]:
    """The words that are nearer to `key1` by cosine than `key2` is, in the order of the vocabulary."""
    scores = emb._cosines(emb._term(key1, True)[None], 0)[0]
    found = np.flatnonzero(scores > scores[emb.row(key2)])
    return [emb.words[i] for i in found.tolist() if emb.words[i] != key1]


def rank(emb: Embeddings, key1: str, key2: str) -> int:
    """The place of `key2` among the neighbours of `key1`; 1 is the nearest. UserError: a missing word."""
    return len(closer_than(emb, key1, key2)) + 1


def wmdistance(emb: Embeddings, document1: Sequence[str], document2: Sequence[str], norm: bool = True) -> float:
    """Word Mover's Distance (Kusner et al. 2015): the least cost of moving the words of one document, each with the
    weight count / length, onto those of the other, where a move costs |x - y|.

    With `norm` the vectors are scaled to length 1 first. Words without a vector are left out, with a warning; infinity
    where none is left. What both have of a word stays where it is. SciPy solves the linear programme of the rest
    exactly: for texts of up to some hundred different words.
    """
    from scipy.stats import wasserstein_distance_nd

    bags: list[dict[str, int]] = []
    for document in (document1, document2):
        bag: dict[str, int] = {}
        for word in known(emb, document):
            bag[word] = bag.get(word, 0) + 1
        bags.append(bag)
    if not all(bags):
        return float("inf")
    sizes = [sum(bag.values()) for bag in bags]
    shared = {
        word: min(bag[word] * size for bag, size in zip(bags, sizes[::-1], strict=True))
        for word in bags[0].keys() & bags[1].keys()
    }
    for bag, size in zip(bags, sizes[::-1], strict=True):  # in units of 1 / (n m), which are whole numbers
        for word in list(bag):
            bag[word] = bag[word] * size - shared.get(word, 0)
            if not bag[word]:
                del bag[word]
    moved = sum(bags[0].values())
    if not moved:
        return 0.0
    places = [np.stack([get_vector(emb, word, norm) for word in bag]).astype(np.float64) for bag in bags]
    cost = wasserstein_distance_nd(*places, *(list(bag.values()) for bag in bags))
    return float(cost) * moved / (sizes[0] * sizes[1])


def _direction(vector: np.ndarray) -> np.ndarray:
    """The vector at length 1; a zero vector stays zero."""
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-30))


class Keyed:
    """The functions above as methods, and the attributes that gensim's object has; the base of `Embeddings`."""

    __getitem__ = getitem
    get_vector, get_index, get_vecattr = get_vector, get_index, get_vecattr
    get_normed_vectors, get_mean_vector = get_normed_vectors, get_mean_vector
    most_similar, most_similar_cosmul = most_similar, most_similar_cosmul
    similar_by_word, similar_by_key = similar_by_word, similar_by_word
    similar_by_vector, n_similarity, wmdistance = similar_by_vector, n_similarity, wmdistance
    rank_by_centrality, doesnt_match = rank_by_centrality, doesnt_match
    closer_than, rank = closer_than, rank

    @property
    def key_to_index(self) -> Mapping[str, int]:
        """`index` of `Embeddings`."""
        return self.index  # type: ignore[attr-defined,no-any-return]

    @property
    def index_to_key(self) -> Sequence[str]:
        """`words` of `Embeddings`."""
        return self.words  # type: ignore[attr-defined,no-any-return]

    @property
    def vector_size(self) -> int:
        """`dim` of `Embeddings`."""
        return self.dim  # type: ignore[attr-defined,no-any-return]
