"""Words and their vectors for queries: looked up, compared, loaded and saved, never trained."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from w2v_jax import asked, export, exported, formats, keyed
from w2v_jax.errors import UserError, check_whole, user_errors
from w2v_jax.files import PathLike, given_path
from w2v_jax.word_table import WordTable

Metric = Literal["cosine", "euclidean"]
Method = Literal["3cosadd", "3cosmul"]
Scored = list[tuple[str, float]]
Query = str | np.ndarray

# Keeps the denominator of 3CosMul away from zero (Levy & Goldberg 2014, equation 4; gensim's value).
EPSILON = 1e-6


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Embeddings(WordTable, keyed.Keyed):
    """`WordTable` and what is asked of it: similar words, analogies, the odd one out, and gensim's names for them."""

    def similarity(self, first: str, second: str) -> float:
        """cos(x, y) = x.y / (|x| |y|), from -1 to 1; 0 when either is a zero vector. UserError: a missing word."""
        return float(self._term(first, True) @ self._term(second, True))

    def distance(self, first: str, second: str) -> float:
        """Euclidean |x - y|, in the units of the vectors. UserError: a missing word."""
        found = float(np.linalg.norm(self.vector(first) - self.vector(second)))
        _ = self.norms if np.isnan(found) else None  # which names the word
        return found

    def nearest(
        self,
        positive: Query | Sequence[Query],
        negative: Query | Sequence[Query] = (),
        topn: int = 10,
        metric: Metric = "cosine",
        restrict: int = 0,
        exclude_query: bool = True,
    ) -> Scored:
        """At most `topn` words nearest to a combination of words: (word, similarity or distance), best first.

        With cosine, q = sum of unit(positive) - sum of unit(negative), ranked by cos(q, x), highest first. With
        Euclidean, q = (sum of positive - sum of negative) / max(1, #positive - #negative) of the raw vectors (a mean
        for several positives, the plain offset for king - man + woman), ranked by |q - x|, lowest first.

        Args:
          positive, negative: a word, a vector [D], or several of them.
          topn: most words returned.
          metric: 'cosine' or 'euclidean'.
          restrict: search the first (most frequent) n words only; 0 for all.
          exclude_query: leave out the words of the query.

        Raises:
          UserError: a missing word (with suggestions), no word, an unknown metric, a sum of length 0 under cosine.
        """
        plus, minus = asked.queries(positive), asked.queries(negative)
        if not plus and not minus:
            raise UserError("no word to look up: give at least one")
        if metric not in ("cosine", "euclidean"):
            raise UserError(f"metric={metric!r}: must be cosine or euclidean")
        cosine = metric == "cosine"
        query = sum(self._term(q, cosine) for q in plus) - sum(self._term(q, cosine) for q in minus)
        query = np.array(query, np.float32)
        _ = self.norms  # refuses a NaN
        hidden = self._rows([q for q in plus + minus if isinstance(q, str)]) if exclude_query else []
        if cosine:
            length = float(np.linalg.norm(query))
            if length == 0:
                raise UserError("the query adds up to a zero vector, which has no direction: use metric=euclidean")
            scores = self._cosines(query[None] / length, restrict)[0]
            return self._best(scores, topn, hidden)
        query /= max(1, len(plus) - len(minus))
        scores = np.empty(self._limit(restrict), np.float32)
        for start, stop in self.chunks(len(scores)):
            scores[start:stop] = -np.linalg.norm(self.vectors[start:stop] - query, axis=1)
        return [(word, -score) for word, score in self._best(scores, topn, hidden)]

    def analogy(
        self,
        a: str,
        b: str,
        c: str,
        topn: int = 10,
        method: Method = "3cosadd",
        exclude: bool = True,
        restrict: int = 0,
    ) -> Scored:
        """a is to b as c is to ?: man, king, woman asks for queen (king - man + woman).

        3CosAdd (Mikolov et al. 2013): the highest cos(x, b - a + c), of unit vectors. 3CosMul (Levy & Goldberg 2014):
        the highest s(x, b) s(x, c) / (s(x, a) + 1e-6), with s = (1 + cos) / 2.

        With `exclude` no answer is a, b or c; without it one of them usually wins. `topn` and `restrict` are those of
        `nearest`. Returns (word, score), best first. UserError: a missing word, an unknown method.
        """
        if method == "3cosadd":
            return self.nearest([b, c], [a], topn, "cosine", restrict, exclude)
        if method != "3cosmul":
            raise UserError(f"method={method!r}: must be 3cosadd or 3cosmul")
        units = np.stack([self._term(word, True) for word in (a, b, c)])
        shifted = (1 + self._cosines(units, restrict)) / 2
        scores = shifted[1] * shifted[2] / (shifted[0] + EPSILON)
        return self._best(scores, topn, self._rows((a, b, c)) if exclude else [])

    def odd_one_out(self, words: Sequence[str]) -> Scored:
        """The words by their cosine with the mean of their unit vectors, lowest first. UserError: a missing word, or
        fewer than three different words."""
        for word in (words := asked.listed(words)):
            self._check_string(word)
        distinct = list(dict.fromkeys(words))
        if len(distinct) < 3:
            raise UserError("odd one out: give at least three different words")
        units = np.stack([self._term(word, True) for word in distinct])
        mean = units.mean(axis=0)
        fit = units @ mean / max(float(np.linalg.norm(mean)), 1e-30)
        return [(distinct[i], float(fit[i])) for i in np.argsort(fit, kind="stable")]

    def _rows(self, words: Iterable[str]) -> list[int]:
        """Rows of the words that have one."""
        return [self.index[word] for word in words if word in self.index]

    def _limit(self, restrict: int) -> int:
        check_whole("restrict", restrict, 0, "a whole number, 0 for all words")
        return min(restrict, len(self)) or len(self)

    def _term(self, query: Query, unit: bool) -> np.ndarray:
        """One term of a query: the vector of a word or the given one, scaled to length 1 if `unit`."""
        if isinstance(query, str):
            if unit and query in self.index:
                row = self.index[query]
                return self.unit(slice(row, row + 1))[0]
            query = self.vector(query)
        query = self._given(query)
        return query / max(float(np.linalg.norm(query)), 1e-30) if unit else query

    def _given(self, query: Any) -> np.ndarray:
        """A vector of a query, [D]. UserError: something else, a NaN or an infinity."""
        try:
            vector = np.asarray(query)
            real = np.isrealobj(vector) and vector.dtype.kind not in "USM"
            with np.errstate(over="ignore"):
                narrow = vector.astype(np.float32) if real else np.zeros(())
        except (TypeError, ValueError):
            narrow = np.zeros(())
        if not narrow.ndim:
            raise UserError(f"query {repr(query)[:60]}: must be a {self.NAME} or a vector")
        if narrow.shape != (self.dim,):
            raise UserError(f"query vector of shape {narrow.shape}: must have {self.dim} dimensions")
        if not np.isfinite(narrow).all():
            raise UserError("query vector: holds a NaN, an infinity or too large a number")
        return vector if vector.dtype == np.float64 else narrow

    def _cosines(self, units: np.ndarray, restrict: int) -> np.ndarray:
        """Cosines of n unit vectors [n, D] with the first words, [n, R]."""
        out = np.empty((len(units), self._limit(restrict)), np.float32)
        for start, stop in self.chunks(out.shape[1]):
            norms = self.norms[start:stop]
            out[:, start:stop] = units @ self.vectors[start:stop].T / np.where(norms > 0, norms, 1)
        return out

    def _best(self, scores: np.ndarray, topn: int, hidden: Iterable[int]) -> Scored:
        """The `topn` highest scores, equal ones in the order of the vocabulary, without the hidden rows."""
        check_whole("topn", topn, 1)
        skip = {row for row in hidden if row < len(scores)}
        want = min(topn + len(skip), len(scores))
        pool = np.sort(np.argpartition(-scores, want - 1)[:want]) if want < len(scores) else np.arange(len(scores))
        ranked = [int(i) for i in pool[np.argsort(-scores[pool], kind="stable")] if int(i) not in skip]
        return [(self.words[i], float(scores[i])) for i in ranked[:topn]]


@user_errors()
def load(
    path: PathLike,
    limit: int | None = 0,
    binary: bool | None = None,
    encoding_errors: str = "strict",
    mmap: bool = False,
    counts: PathLike | None = None,
    skip_nan: bool = False,
) -> Embeddings:
    """Opens word2vec text or binary, GloVe text, a fastText model (each also in gzip), a native folder, NAME.npy with
    NAME.vocab.txt, or .safetensors; of the first four, content decides which it is.

    Args:
      path: the file, or the folder that `save(..., 'native')` wrote.
      limit: read the first n words only; 0 or None for all.
      binary: whether a file with a header is binary; None detects it.
      encoding_errors: words that are not UTF-8: 'strict' refuses them, 'replace' puts U+FFFD for what is none, 'ignore'
        leaves it out. Words that become empty are dropped, and of equal ones all but the first, with a warning.
      mmap: leave the float32 vectors of a native folder or of NAME.npy on disk. Others are refused.
      counts: a file of `word count` lines, for formats without counts.
      skip_nan: leave out rows with a NaN or an infinity, with a warning, instead of refusing the file.

    Raises:
      UserError: missing, unreadable, empty, truncated or malformed file, with its line or byte; a NaN; words that are
        not UTF-8; a map of what cannot be mapped; a file of a run folder that differs from its digest in result.json
        (see `w2v_jax.exported`).
    """
    path = given_path("path", path, "the path of a file or a folder")
    table = formats.read(path, 0 if limit is None else limit, binary, encoding_errors, mmap, counts, skip_nan)
    try:
        return Embeddings(*table)
    except UserError as e:
        raise UserError(f"{os.fspath(path)}: {e}") from None


def load_run(folder: PathLike, file: PathLike, **options: Any) -> Embeddings:
    """The vectors of a run from their file, with its counts and, where it has them, the n-grams of unseen words.
    `options` are those of `load`. UserError: see `load`."""
    emb = load(file, counts=os.path.join(os.fspath(folder), "vocab.txt"), **options)
    return dataclasses.replace(emb, subwords=formats.read_ngrams(folder, emb.dim))


@user_errors()
def save(emb: Embeddings, path: PathLike, format: str = "auto", dtype: str = "float32") -> None:
    """Writes the vectors to a file, or to a folder for 'native' and 'projector', whole or not at all.

    Formats: 'binary' and 'text' (word2vec), 'glove', 'fasttext' (.bin), 'native' (vectors.npy for memory maps and
    vocab.txt), 'npy' (NAME.npy and NAME.vocab.txt), 'safetensors', 'projector' (for TensorBoard), or 'auto': .bin is
    binary, .txt and .vec are text, each also with .gz, .npy and .safetensors say it, no ending is native.

    `dtype`: 'float32', 'float16' or 'int8' (with a scale for each row); the last two in native, npy and safetensors
    only. docs/vectors.md says what they lose. `load` gives float32 in any case.

    Raises:
      UserError: no vectors or no path, an unknown format, ending or dtype, a number too large for float16, a word the
        format cannot hold (empty, or with white space); 'fasttext' for vectors without n-grams; a file or a folder
        that may not be written to, or is one that a run has exported.

    'fasttext' alone has what vectors of unseen words are made from. It has no output layer (zeros), no settings of the
    training (fastText's defaults), and counts of at least 1; vectors of known words are the same but for rounding.
    Warnings say that the counts are lost ('binary', 'text', 'glove'), and count rows with a NaN, which `load` refuses.
    """
    if not isinstance(emb, WordTable):
        what = "must be vectors of words, as train_vectors and load return them; save(emb, path) takes them first"
        how = "Embeddings(kv.index_to_key, kv.vectors) of w2v_jax.embeddings makes them of gensim's"
        raise UserError(f"emb is of type {type(emb).__name__}: {what}; {how}")
    path = given_path("path", path, "the path of a file or a folder")
    exported.check_free(export.files_of(path, format))
    if emb.counts is not None and not export.holds_counts(path, format):
        keep = "a native folder, .npy, .safetensors and fasttext hold them"
        warnings.warn(f"{os.fspath(path)}: the counts of the words are not in the file; {keep}", stacklevel=3)
    if not (good := formats.finite(emb.vectors)).all():
        what = f"{np.sum(~good):,} rows hold a NaN or an infinity ({emb.words[int(np.argmin(good))]!r} is the first)"
        warnings.warn(f"{os.fspath(path)}: {what}: load refuses the file without skip_nan", stacklevel=3)
    write(emb, path, format, dtype)


@user_errors()
def write(emb: WordTable, path: PathLike, format: str = "auto", dtype: str = "float32") -> None:
    """`save` without its checks: a run writes its own files again."""
    export.write(formats.Table(emb.words, emb.vectors, emb.counts, emb.subwords), path, format, dtype)
