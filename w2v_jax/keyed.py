"""The queries of gensim's `KeyedVectors` under its names, as methods of `w2v_jax.embeddings.Embeddings`.

A name that stands here means what it means in gensim 4: same arguments, same order, same numbers (tests compare them).
But `distance` of `Embeddings` is Euclidean, where gensim's is 1 - cosine, words are named by strings, not by numbers,
and nothing is added or trained in place. docs/vectors.md says which names are not there. A mistake is a `UserError` of
one line; a missing word is a `KeyError` too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from w2v_jax.errors import UserError

if TYPE_CHECKING:
    from w2v_jax.embeddings import Embeddings

Scored = list[tuple[str, float]]
Key = str | np.ndarray  # a word, or a vector [D]
Weighted = tuple[Key, float]
_EPSILON = 1e-6  # of 3CosMul, as in gensim


class Indexer(Protocol):
    """What answers `most_similar` from an index of its own; `w2v_jax.approximate.Approximate` is one."""

    def most_similar(self, vector: np.ndarray, topn: int) -> Scored: ...


def getitem(emb: Embeddings, key: str | Iterable[str]) -> np.ndarray:
    """`emb["king"]`: the vector, float32 [D], read-only. `emb[["king", "man"]]`: [n, D]. KeyError: a missing word."""
    if isinstance(key, str):
        return emb.vector(key)
    words = _listed(key)
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
      ignore_missing: leave missing words out, instead of a KeyError.

    UserError: no key, or another number of weights.
    """
    keys = _listed(keys)
    if not keys:
        raise UserError("no word to take the mean of: give at least one")
    if weights is not None and len(weights) != len(keys):
        raise UserError(f"{len(weights)} weights for {len(keys)} words: give one for each")
    if weights is not None and not np.isfinite(np.asarray(weights, np.float64)).all():
        raise UserError("a weight of a word is a NaN or an infinity")
    total, size = np.zeros(emb.dim, np.float32), 0.0
    for key, weight in zip(keys, np.ones(len(keys)) if weights is None else weights, strict=True):
        if isinstance(key, str):
            if ignore_missing and key not in emb and not emb.makes(key):
                continue
            key = get_vector(emb, key, pre_normalize)
        else:
            key = emb._given(key)
        total += np.float32(weight) * key
        size += abs(float(weight))
    mean = total / np.float32(size) if size else total
    return _direction(mean) if post_normalize else mean


def most_similar(
    emb: Embeddings,
    positive: Key | Sequence[Key | Weighted] | None = None,
    negative: Key | Sequence[Key | Weighted] | None = None,
    topn: int | None = 10,
    restrict_vocab: int | None = None,
    indexer: Indexer | None = None,
) -> Any:
    """The `topn` words of highest cosine with the mean of unit(positive) and -unit(negative): [(word, cosine)].

    Args:
      positive, negative: a word, a vector [D], or several; `(word, weight)` weighs one (default 1, or -1 for negative).
      topn: how many; None: the cosines with all words, float32 [V].
      restrict_vocab: search the first (most frequent) n words only.
      indexer: answers from an index, see `w2v_jax.approximate`; it may return words of the query, as in gensim.

    UserError: a missing word (KeyError too), no word, a mean of length 0.
    """
    keys, weights = _weighed(positive, 1.0)
    minus, negatives = _weighed(negative, -1.0)
    keys, weights = keys + minus, weights + negatives
    if not keys:
        raise UserError("no word to look up: give at least one")
    mean = get_mean_vector(emb, keys, weights, post_normalize=True, ignore_missing=False)
    if not mean.any():
        raise UserError("the query adds up to a zero vector, which has no direction")
    if indexer is not None and topn is not None:
        if restrict_vocab:
            raise UserError(f"restrict_vocab={restrict_vocab}: an index is searched whole; leave one of both out")
        return indexer.most_similar(mean, topn)
    scores = emb._cosines(mean[None], restrict_vocab or 0)[0]
    if topn is None:
        return scores
    return emb._best(scores, topn, emb._rows([key for key in keys if isinstance(key, str)]))


def similar_by_word(emb: Embeddings, word: str, topn: int | None = 10, restrict_vocab: int | None = None) -> Any:
    """`most_similar` of one word."""
    return most_similar(emb, [word], topn=topn, restrict_vocab=restrict_vocab)


def similar_by_vector(
    emb: Embeddings, vector: np.ndarray, topn: int | None = 10, restrict_vocab: int | None = None
) -> Any:
    """`most_similar` of one vector [D]."""
    return most_similar(emb, [emb._given(vector)], topn=topn, restrict_vocab=restrict_vocab)


def most_similar_cosmul(
    emb: Embeddings,
    positive: Key | Sequence[Key] | None = None,
    negative: Key | Sequence[Key] | None = None,
    topn: int | None = 10,
    restrict_vocab: int | None = None,
) -> Any:
    """By 3CosMul (Levy & Goldberg 2014, equation 4): prod s(x, positive) / (prod s(x, negative) + 1e-6), where
    s = (1 + cosine) / 2. Arguments and errors as in `most_similar`, without weights and index."""
    plus, minus = _weighed(positive, 1.0)[0], _weighed(negative, -1.0)[0]
    if not plus:
        raise UserError("no word to look up: give at least one")
    shifted = (1 + emb._cosines(np.stack([emb._term(key, True) for key in plus + minus]), restrict_vocab or 0)) / 2
    scores = np.prod(shifted[: len(plus)], axis=0) / (np.prod(shifted[len(plus) :], axis=0) + _EPSILON)
    if topn is None:
        return scores
    return emb._best(scores, topn, emb._rows([key for key in plus + minus if isinstance(key, str)]))


def n_similarity(emb: Embeddings, ws1: Sequence[str], ws2: Sequence[str]) -> float:
    """The cosine between the means of two lists of words; missing words are left out. UserError: an empty list."""
    first, second = (_direction(get_mean_vector(emb, words, pre_normalize=False)) for words in (ws1, ws2))
    found = float(first @ second)
    _ = emb.norms if np.isnan(found) else None  # which names the word
    return found


def rank_by_centrality(emb: Embeddings, words: Sequence[str]) -> list[tuple[float, str]]:
    """(cosine with the mean of the unit vectors, word), highest first; missing words are left out. UserError: no word
    is left."""
    known = [word for word in _listed(words) if word in emb or emb.makes(word)]
    if not known:
        raise UserError("none of the words has a vector: nothing to compare")
    units = np.stack([get_vector(emb, word, norm=True) for word in known])
    fit = units @ _direction(units.mean(axis=0))
    return sorted(zip(fit.tolist(), known, strict=True), reverse=True)


def doesnt_match(emb: Embeddings, words: Sequence[str]) -> str:
    """The word with the lowest cosine with the mean of all; see `rank_by_centrality`."""
    return rank_by_centrality(emb, words)[-1][1]


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

    With `norm` the vectors are scaled to length 1 first. Words without a vector are left out; infinity where none is
    left. What both have of a word stays where it is. SciPy solves the linear programme of the rest exactly: for texts
    of up to some hundred different words.
    """
    from scipy.stats import wasserstein_distance_nd

    bags: list[dict[str, int]] = []
    for document in (document1, document2):
        bag: dict[str, int] = {}
        for word in _listed(document):
            if word in emb or emb.makes(word):
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


def _weighed(given: Key | Sequence[Key | Weighted] | None, weight: float) -> tuple[list[Key], list[float]]:
    """The keys and their weights; those without one get `weight`."""
    if given is None:
        return [], []
    if isinstance(given, np.ndarray) and given.dtype.kind in "UO":
        given = given.tolist()
    if isinstance(given, str) or (isinstance(given, np.ndarray) and given.ndim == 1):
        return [given], [weight]
    if not isinstance(given, Iterable):
        raise UserError(f"query {given!r}: must be a word, a vector or a list of them")
    try:
        pairs = [(key, float(size)) for key, size in (i if isinstance(i, tuple) else (i, weight) for i in given)]
    except (TypeError, ValueError):
        raise UserError("a tuple of a query: must be (word or vector, weight), as in ('king', 0.5)") from None
    return [key for key, _ in pairs], [size for _, size in pairs]


def _listed(words: Any) -> list[Any]:
    """UserError: no list, or one string, which would be read letter by letter."""
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise UserError(f"words={repr(words)[:60]}: must be a list of words")
    return list(words)


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
