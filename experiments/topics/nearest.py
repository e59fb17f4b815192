"""The documents nearest to words or to a document: by the models of topics, by TF-IDF and by BM25."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from experiments.topics.fits import Fitted
from w2v_jax.data import search, weighting
from w2v_jax.data.documents import counts
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError

_BEGINNING = 10  # words shown of a document


class Query(NamedTuple):
    """What is searched for."""

    counts: sp.csr_matrix  # int32 [1, V]
    document: int | None  # which it is, itself never found


def query_of(words: str | None, document: int | None, corpus: Any) -> Query | None:
    """The query that the flags give, None for none. UserError: both, no such document, or no known word."""
    if words is None and document is None:
        return None
    if words is not None and document is not None:
        raise UserError("--query and --query_document: give one of them")
    size = len(corpus.vocab)
    if document is not None:
        if document >= corpus.train.documents:
            last = corpus.train.documents - 1
            raise UserError(f"--query_document={document}: the training documents are 0 to {last:,}")
        found = counts(corpus.train, size, document, document + 1)
    else:
        ids = corpus.tokenizer.encode(words)
        found = sp.csr_matrix(np.bincount(ids, minlength=size)[None].astype(np.int32))
    if not found.nnz:
        what = f"--query={words!r}" if document is None else f"--query_document={document}"
        raise UserError(
            f"{what}: none of its words is in the vocabulary; rare words (data.min_count) and the most frequent ones "
            "(data.skip_top) are outside it"
        )
    return Query(found, document)


def table(query: Query, models: Sequence[Fitted], rows: sp.csr_matrix, corpus: Any, top: int) -> list[list[str]]:
    """One row per method and rank. Scores are cosines, but for BM25's."""
    seen = weighting.collection([rows], rows.shape[1])
    weights, more = weighting.inverse_frequency(seen), top + 1
    found = {m.name: search.best_dense(m.loadings, m.vectors(query.counts)[0], more) for m in models}
    index = search.inverted(weighting.tfidf(rows, weights))
    found["TF-IDF"] = search.best(index, weighting.tfidf(query.counts, weights), more)[0]
    found["BM25"] = search.best(search.inverted(weighting.bm25(rows, seen)), query.counts, more)[0]
    lines = [["method", "document", "score", "begins (known words)"]]
    if query.document is not None:
        lines.append(["query", str(query.document), "", beginning(corpus.tokenizer, corpus.train, query.document)])
    for name, hits in found.items():
        others = [(d, s) for d, s in zip(hits.documents.tolist(), hits.scores, strict=True) if d != query.document]
        for document, score in others[:top]:
            begins = beginning(corpus.tokenizer, corpus.train, document)
            lines.append([name, str(document), f"{score:.3f}", begins])
    return lines


def beginning(tokenizer: Tokenizer, part: Any, document: int) -> str:
    """The first known words of a document."""
    start, stop = part.offsets[document], part.offsets[document + 1]
    ids = np.asarray(part.tokens[start : min(stop, start + _BEGINNING)])
    return tokenizer.decode(ids) + (" ..." if stop > start + _BEGINNING else "")
