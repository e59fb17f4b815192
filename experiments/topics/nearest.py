"""The documents nearest to words or to a document: by the models of topics, by TF-IDF and by BM25."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from experiments.topics.documents import Lines, is_blank
from experiments.topics.fits import Fitted
from w2v_jax.config import DataConfig
from w2v_jax.data import search, weighting
from w2v_jax.data.corpus import Corpus
from w2v_jax.data.documents import counts
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError

_UNKNOWN = (
    "none of its words is in the vocabulary; rare words (data.min_count) and the most frequent ones "
    "(data.skip_top) are outside it"
)
_BEGINNING = 10  # words shown of a document


class Query(NamedTuple):
    """What is searched for."""

    counts: sp.csr_matrix  # int32 [1, V]
    document: int | None  # which it is, itself never found


def _index(document: int, lines: Lines, data: DataConfig) -> int:
    """The place among the training documents of document `document` of the source. UserError: it has none."""
    at = np.flatnonzero(lines.train == document)
    if len(at):
        return int(at[0])
    flag = f"--query_document={document}"
    if document > lines.total:
        raise UserError(f"{flag}: the documents of the text are 1 to {lines.total:,}")
    if document in lines.held:
        every = f"data.heldout_every={data.heldout_every}"
        raise UserError(f"{flag}: is held out ({every}); fit with --config.data.heldout_every=0, or choose another")
    if is_blank(data, document):
        raise UserError(f"{flag}: is empty; choose another")
    raise UserError(f"{flag}: {_UNKNOWN}")


def query_of(words: str | None, document: int | None, corpus: Corpus, lines: Lines, data: DataConfig) -> Query | None:
    """The query that the flags give, None for none. UserError: both, no such document, or no known word."""
    if words is None and document is None:
        return None
    if words is not None and document is not None:
        raise UserError("--query and --query_document: give one of them")
    size = len(corpus.vocab)
    if document is not None:
        at = _index(document, lines, data)
        return Query(counts(corpus.train, size, at, at + 1), at)
    ids = corpus.tokenizer.encode(words or "")
    found = sp.csr_matrix(np.bincount(ids, minlength=size)[None].astype(np.int32))
    if not found.nnz:
        raise UserError(f"--query={words!r}: {_UNKNOWN}")
    return Query(found, None)


def table(
    query: Query, models: Sequence[Fitted], rows: sp.csr_matrix, corpus: Corpus, lines: Lines, top: int
) -> list[list[str]]:
    """One row per method and rank. Scores are cosines, but for BM25's."""
    seen = weighting.collection([rows], rows.shape[1])
    weights, more = weighting.inverse_frequency(seen), top + 1
    found = {m.name: search.best_dense(m.loadings, m.vectors(query.counts)[0], more) for m in models}
    index = search.inverted(weighting.tfidf(rows, weights))
    found["TF-IDF"] = search.best(index, weighting.tfidf(query.counts, weights), more)[0]
    found["BM25"] = search.best(search.inverted(weighting.bm25(rows, seen)), query.counts, more)[0]
    shown = [["method", "document", "score", "begins (known words)"]]
    if query.document is not None:
        begins = beginning(corpus.tokenizer, corpus.train, query.document)
        shown.append(["query", str(lines.train[query.document]), "", begins])
    for name, hits in found.items():
        others = [(d, s) for d, s in zip(hits.documents.tolist(), hits.scores, strict=True) if d != query.document]
        for document, score in others[:top]:
            begins = beginning(corpus.tokenizer, corpus.train, document)
            shown.append([name, str(lines.train[document]), f"{score:.3f}", begins])
    return shown


def beginning(tokenizer: Tokenizer, part: Any, document: int) -> str:
    """The first known words of a document."""
    start, stop = part.offsets[document], part.offsets[document + 1]
    ids = np.asarray(part.tokens[start : min(stop, start + _BEGINNING)])
    return tokenizer.decode(ids) + (" ..." if stop > start + _BEGINNING else "")
